/** Two models on the same region, side by side. */
import { Button, Modal, Select, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { isCalled, type Model } from "../../api/models";
import { preview } from "./looks";
import css from "./Preview.module.css";
import { Found, Told, type Shown } from "./PreviewPanel";
import { change, specOf, useSettings } from "./settings";
import { words } from "./words";

interface Properties {
  close: () => void;
  shown: Shown;
  models: Model[];
  micronsPerPixel?: number;
}

export function Compare({ close, ...rest }: Properties) {
  return (
    <Modal opened onClose={close} title={<Text fw={600}>{words.compare.title}</Text>} closeButtonProps={{ "aria-label": words.dismiss }} size="min(1040px, 94vw)" centered>
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

type SideProperties = Properties & { side: string; first: number };

function Side({ side, first, close, shown, models, micronsPerPixel }: SideProperties) {
  const settings = useSettings();
  // On the left the chosen one, on the right the next.
  const at = models.findIndex((one) => isCalled(one, settings.model));
  const [name, setName] = useState(models[(Math.max(0, at) + first) % models.length]?.name);
  const model = models.find((one) => one.name === name) ?? (models[0] as Model);
  const { input, look, region } = shown;
  const found = useQuery(preview(input, look.image, region, specOf(settings, model)));
  return (
    <Stack gap="sm">
      <Select
        aria-label={words.compare.model(side)}
        allowDeselect={false}
        data={models.map((one) => one.name)}
        value={model.name}
        onChange={(value) => value && setName(value)}
      />
      <div className={css.pair}>
        <Found found={found} outlines />
      </div>
      <div aria-live="polite">{found.data && <Told preview={found.data} micronsPerPixel={micronsPerPixel} />}</div>
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
