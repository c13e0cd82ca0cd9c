/** Two models on the same region, side by side. */
import { Button, Loader, Modal, Select, SimpleGrid, Skeleton, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { Refused } from "../../parts/Refused";
import type { Model } from "./Find";
import { preview } from "./looks";
import { Outlined } from "./Outlined";
import css from "./Preview.module.css";
import { Told, type Shown } from "./PreviewPanel";
import { change, specOf, useSettings } from "./settings";
import { words } from "./words";

interface Properties {
  opened: boolean;
  close: () => void;
  shown: Shown;
  models: Model[];
  micronsPerPixel?: number;
}

export function Compare({ opened, close, ...rest }: Properties) {
  return (
    <Modal opened={opened} onClose={close} title={words.compare.title} size="min(1040px, 94vw)" centered>
      <Stack gap="md">
        <Text size="sm" c="dimmed">
          {words.compare.lead}
        </Text>
        <SimpleGrid cols={2} spacing="lg">
          <Side side={words.compare.left} first={0} close={close} {...rest} />
          <Side side={words.compare.right} first={1} close={close} {...rest} />
        </SimpleGrid>
      </Stack>
    </Modal>
  );
}

type SideProperties = Omit<Properties, "opened"> & { side: string; first: number };

function Side({ side, first, close, shown, models, micronsPerPixel }: SideProperties) {
  const settings = useSettings();
  // On the left the chosen one, on the right the next.
  const at = models.findIndex(({ name }) => name === settings.model);
  const [name, setName] = useState(models[(Math.max(0, at) + first) % models.length]?.name);
  const model = models.find((one) => one.name === name) ?? (models[0] as Model);
  const { input, look, region } = shown;
  const { data, error, isFetching, refetch } = useQuery(preview(input, look.image, region, specOf(settings, model)));
  return (
    <Stack gap="sm">
      <Select
        aria-label={words.compare.model(side)}
        allowDeselect={false}
        data={models.map((one) => one.name)}
        value={model.name}
        onChange={(value) => value && setName(value)}
      />
      {error ? (
        <Refused error={error} again={() => void refetch()} />
      ) : (
        <div className={css.wrap} aria-busy={isFetching}>
          {isFetching && (
            <div className={css.working}>
              <Loader size="sm" color="white" /> <Text size="sm">{words.preview.working}</Text>
            </div>
          )}
          {data ? <Outlined preview={data} outlines /> : <Skeleton height={340} animate={false} />}
        </div>
      )}
      <div aria-live="polite">{data && !error && <Told preview={data} micronsPerPixel={micronsPerPixel} />}</div>
      <Button
        variant="default"
        onClick={() => {
          change({ model: model.name });
          close();
        }}
      >
        {words.compare.use(model.name)}
      </Button>
    </Stack>
  );
}
