/** The state of a run in a word and a colour. */
import { Badge } from "@mantine/core";

import type { Run } from "./queries";
import { words } from "./words";

const COLOURS: Record<Run["state"], string> = {
  queued: "gray", running: "sea", stopping: "yellow", stopped: "yellow", done: "green", failed: "red",
};

export function RunBadge({ run }: { run: Run }) {
  return (
    <Badge color={COLOURS[run.state]} variant="light" tt="none" fw={600} c="var(--mantine-color-text)">
      {words.states[run.state]}
    </Badge>
  );
}
