/** All about one model: how it is used by name, and the text that it brings: scores, limits, data, licence. */
import { Code, CopyButton, Button, Group, Modal, Skeleton, Stack, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { answer, api } from "../../api/client";
import { fullName, type Model } from "../../api/models";
import { Markdown } from "../../parts/Markdown";
import { Refused } from "../../parts/Refused";
import { words } from "./words";

export function ModelText({ model, close }: { model: Model; close: () => void }) {
  const { name, version } = model;
  const { data, error, isPending } = useQuery({
    queryKey: ["model text", name, version],
    queryFn: () => answer(api.GET("/api/v1/models/{name}/{version}/card", { params: { path: { name, version } }, parseAs: "text" })),
    staleTime: Infinity,
  });
  return (
    <Modal opened onClose={close} size="lg" title={`${name} ${version}`} closeButtonProps={{ "aria-label": words.close }}>
      <Stack gap="sm">
        {isPending && <Skeleton height={300} />}
        {error && <Refused error={error} />}
        {data && <Markdown text={data} />}
        <ByName model={model} />
      </Stack>
    </Modal>
  );
}

/** A translation is a step of workflows, and nothing by itself. */
function ByName({ model }: { model: Model }) {
  if (model.task === "translation") return null;
  const verb = model.task === "classification" ? "classify" : "segment";
  const ways = words.byName.ways(verb, fullName(model), window.location.origin);
  return (
    <>
      <Title order={3} size="h5" mt="sm">
        {words.byName.title}
      </Title>
      {ways.map((text) => (
        <Group key={text} align="start" gap="xs" wrap="nowrap">
          <Code block flex={1} miw={0} tabIndex={0}>
            {text}
          </Code>
          <CopyButton value={text}>
            {({ copied, copy }) => (
              <Button size="compact-sm" variant="default" onClick={copy}>
                {copied ? words.byName.copied : words.byName.copy}
              </Button>
            )}
          </CopyButton>
        </Group>
      ))}
    </>
  );
}
