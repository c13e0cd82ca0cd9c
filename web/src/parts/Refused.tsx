/** What the service refused, or that it does not answer: its own sentence. */
import { Alert, Button, Group, Text } from "@mantine/core";

import { Refusal } from "../api/client";
import { words } from "../words";

export function Refused({ error, again }: { error: Error; again?: () => void }) {
  const problem = error instanceof Refusal ? error.problem : undefined;
  return (
    <Alert color="red" role="alert" title={problem ? sentence(problem.what, problem.where) : words.refused}>
      <Group justify="space-between" align="end">
        <Text size="sm">
          {problem ? `${ended(problem.action ?? "")} ` : `${error.message} `}
          {problem && (
            <Text span size="sm" c="dimmed">
              [{problem.code}]
            </Text>
          )}
        </Text>
        {again && (
          <Button size="compact-sm" variant="light" color="red" onClick={again}>
            {words.again}
          </Button>
        )}
      </Group>
    </Alert>
  );
}

export function sentence(what: string, where = ""): string {
  // The name of a file stays as it is.
  return where ? `${where}: ${what}` : what.charAt(0).toUpperCase() + what.slice(1);
}

const ended = (text: string) => (text && !/[.!?]$/.test(text) ? `${text}.` : text);
