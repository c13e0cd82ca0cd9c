/** Below the list: what is missing in the files and what it means, and why some cannot be read. */
import { Alert, Box, Group, List, Stack, Text } from "@mantine/core";

import { Refusal, type Problem } from "../../api/client";
import { sentence } from "../../parts/Refused";
import type { Draft, Item } from "../../uploads/draft";
import { isUnclear, readingsOf, type Facts } from "./facts";
import css from "./Files.module.css";
import { Pages, shortName } from "./FileRow";
import type { Look } from "./looks";
import { useSettings } from "./settings";
import { words } from "./words";

const MOST = 4;

export function Questions({ draft, facts, looks }: { draft: Draft; facts: Facts; looks: Map<string, Look> }) {
  const { micronsPerPixel, axes } = useSettings();
  const problems = problemsOf(draft, looks);
  const asTaken = axes ? undefined : draft.items.find(({ input }) => input && isTaken(looks.get(input)));
  const noSize = facts.withoutSize > 0 && micronsPerPixel === undefined;
  const replaced = micronsPerPixel !== undefined && facts.sizes.some((size) => size !== micronsPerPixel);
  if (![problems.length > 0, asTaken, noSize, replaced, facts.unclear].some(Boolean)) return null;
  return (
    <Stack gap={6} px="md" py="sm">
      {facts.unclear && (
        <Alert color="yellow" classNames={{ title: css.told }} title={words.axes.title(shortName(facts.unclear))}>
          <Asked text={`${words.axes.why} ${words.axes.forAll}`} item={facts.unclear} looks={looks} />
        </Alert>
      )}
      {noSize && (
        <Text size="sm" c="dimmed">
          {words.pixelSize.missing(facts.withoutSize)} {words.pixelSize.without}
          {facts.images > 1 && ` ${words.pixelSize.forAll}`}
        </Text>
      )}
      {replaced && (
        <Text size="sm">
          {words.pixelSize.forAll} {words.pixelSize.replaces(facts.sizes.map((size) => `${size} µm`).join(", "))}
        </Text>
      )}
      {asTaken && (
        <Asked text={`${words.axes.asTaken} ${words.axes.forAll}`} item={asTaken} looks={looks} />
      )}
      {problems.length > 0 && <Unreadable problems={problems} />}
    </Stack>
  );
}

/** Whether nameless pages were taken as channels. */
const isTaken = (look?: Look) => look?.data !== undefined && readingsOf(look).length > 1;

function Asked({ text, item, looks }: { text: string; item: Item; looks: Map<string, Look> }) {
  const look = looks.get(item.input as string);
  if (!look) return null;
  return (
    <Group gap="md" wrap="nowrap" justify="space-between">
      <Text size="sm">{text}</Text>
      <Box w={150} flex="none">
        <Pages readings={readingsOf(look)} value={look.data?.axes} name={item.path} />
      </Box>
    </Group>
  );
}

interface Told {
  path: string;
  problem: Problem;
}

function Unreadable({ problems }: { problems: Told[] }) {
  return (
    <Alert color="red" title={words.files.unreadable(problems.length)}>
      <List size="sm">
        {problems.slice(0, MOST).map(({ path, problem }) => (
          <List.Item key={path}>
            {sentence(problem.what, problem.where || path)}. {problem.action && `${problem.action}. `}
            <Text span size="sm" c="dimmed">
              [{problem.code}]
            </Text>
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}

function problemsOf(draft: Draft, looks: Map<string, Look>): Told[] {
  const found: Told[] = [];
  for (const { path, input, problem } of draft.items) {
    const error = input ? looks.get(input)?.error : undefined;
    if (problem) found.push({ path, problem });
    else if (error instanceof Refusal && !isUnclear(error)) found.push({ path, problem: error.problem });
  }
  return found;
}
