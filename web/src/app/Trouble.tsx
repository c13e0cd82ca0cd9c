/** Shown instead of a page that failed. */
import { Alert, Button, Code, Spoiler, Stack } from "@mantine/core";
import { useRouteError } from "react-router";

import { words } from "../words";

export function Trouble() {
  const error = useRouteError();
  return (
    <Stack maw={640} mx="auto" mt={80} p="lg">
      <Alert color="red" title={words.trouble.title}>
        {error instanceof Error ? error.message : null}
      </Alert>
      <Spoiler maxHeight={0} showLabel={words.trouble.details} hideLabel={words.trouble.details}>
        <Code block tabIndex={0}>{error instanceof Error ? error.stack : String(error)}</Code>
      </Spoiler>
      <Button onClick={() => window.location.reload()}>{words.trouble.again}</Button>
    </Stack>
  );
}
