/** Sample images, for whoever has none at hand. */
import { Skeleton, Stack, Text, Title, UnstyledButton, VisuallyHidden } from "@mantine/core";
import { queryOptions, useMutation, useQuery } from "@tanstack/react-query";

import { answer, api } from "../../api/client";
import { Refused } from "../../parts/Refused";
import { drafts } from "../../uploads/useDraft";
import css from "./SegmentPage.module.css";
import { words } from "./words";

const samples = queryOptions({
  queryKey: ["samples"],
  queryFn: () => answer(api.GET("/api/v1/samples")),
  staleTime: Infinity,
});

export function Samples() {
  const list = useQuery(samples);
  const use = useMutation({
    mutationFn: (name: string) => answer(api.POST("/api/v1/samples/{name}", { params: { path: { name } } })),
    onSuccess: ({ id, name }) => drafts.addAddress(`set:${id}/${name}`, name),
  });
  return (
    <Stack gap="sm">
      <Stack gap={0}>
        <Title order={3} size="h5">
          {words.samples.title}
        </Title>
        <Text size="sm" c="dimmed">
          {words.samples.lead}
        </Text>
      </Stack>
      {(list.error ?? use.error) && <Refused error={(list.error ?? use.error) as Error} again={list.error ? () => void list.refetch() : undefined} />}
      <div className={css.samples}>
        {list.isPending && [0, 1, 2, 3].map((card) => <Skeleton key={card} height={214} aria-label={words.loading.samples} />)}
        {list.data?.samples.map(({ name, what, thumbnail }) => (
          <UnstyledButton
            key={name}
            className={css.sample}
            disabled={use.isPending}
            onClick={() => use.mutate(name)}
          >
            <img src={thumbnail} alt="" />
            <VisuallyHidden>{words.samples.use("")}</VisuallyHidden>
            <Stack gap={2} p="sm">
              <Text size="sm" fw={600} truncate title={name}>
                {name}
              </Text>
              <Text size="xs" c="dimmed">
                {what}
              </Text>
            </Stack>
          </UnstyledButton>
        ))}
      </div>
    </Stack>
  );
}
