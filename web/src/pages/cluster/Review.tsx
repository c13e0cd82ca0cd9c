/** What a change would do: the lines of the file that differ, and what follows; saved here, applied by a command. */
import { Button, Card, Code, CopyButton, Group, List, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { answer, api, type Schemas } from "../../api/client";
import { Refused } from "../../parts/Refused";
import css from "./Review.module.css";
import { words } from "./words";

interface Props {
  review: Schemas["ClusterReview"];
  fields: Record<string, unknown>;
  state: Schemas["ClusterState"];
  back: () => void;
}

export function Review({ review, fields, state, back }: Props) {
  const client = useQueryClient();
  const save = useMutation({
    mutationFn: () =>
      answer(
        api.PUT("/api/v1/admin/cluster", { body: { fields }, params: { header: { "if-match": `"${state.version}"` } } }),
      ),
  });
  const leave = () => {
    if (save.data) client.setQueryData(["cluster"], save.data);
    back();
  };
  return (
    <Card withBorder padding="lg">
      <Title order={3} size="h4" mb="md">
        {words.reviewTitle}
      </Title>
      <Stack>
        <Diff text={review.diff} />
        <Stack gap={4}>
          <Text fw={600}>{words.follows}</Text>
          <List>
            {review.sentences.map((sentence) => (
              <List.Item key={sentence}>{sentence}</List.Item>
            ))}
          </List>
        </Stack>
        {save.error && <Refused error={save.error} />}
        {save.data && <Command line={`cellfleet cluster up --file ${save.data.address}`} />}
        <Group>
          {!save.data && (
            <Button loading={save.isPending} onClick={() => save.mutate()}>
              {words.save}
            </Button>
          )}
          <Button variant="default" onClick={leave}>
            {words.back}
          </Button>
        </Group>
      </Stack>
    </Card>
  );
}

/** Added and removed lines have a sign and a word for screen readers, not colour alone. */
function Diff({ text }: { text: string }) {
  const lines = text.split("\n").filter((line) => line && !line.startsWith("---") && !line.startsWith("+++"));
  return (
    <pre className={css.diff} tabIndex={0} aria-label={words.reviewTitle}>
      {lines.map((line, index) => (
        // Lines of a diff may repeat, and never change their order.
        <span key={index} className={kind(line)}>
          {line.startsWith("+") && <span className={css.spoken}>{words.added}</span>}
          {line.startsWith("-") && <span className={css.spoken}>{words.removed}</span>}
          {`${line}\n`}
        </span>
      ))}
    </pre>
  );
}

const kind = (line: string) => ({ "+": css.added, "-": css.removed, "@": css.place })[line.charAt(0)];

function Command({ line }: { line: string }) {
  return (
    <Stack gap="xs" role="status">
      <Text>{words.saved}</Text>
      <Group>
        <Code fz="md">{line}</Code>
        <CopyButton value={line}>
          {({ copied, copy }) => (
            <Button size="compact-sm" variant="light" onClick={copy}>
              {copied ? words.copied : words.copy}
            </Button>
          )}
        </CopyButton>
      </Group>
    </Stack>
  );
}
