/** Takes images: dropped, chosen, or named by their address. */
import { Button, Group, Modal, Stack, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconCloud, IconFiles, IconFolder, IconPhotoPlus } from "@tabler/icons-react";
import { useRef } from "react";
import { useDropzone } from "react-dropzone";

import { pathOf } from "../../uploads/chosen";
import { drafts } from "../../uploads/useDraft";
import { PlaceBrowser } from "./PlaceBrowser";
import css from "./SegmentPage.module.css";
import { words } from "./words";

const add = (files: readonly File[]) => drafts.addFiles(files.map((file) => ({ path: pathOf(file), file })));

/** `small`: beside images that are there already. */
export function DropZone({ small }: { small: boolean }) {
  const folder = useRef<HTMLInputElement>(null);
  const [asking, { open: ask, close }] = useDisclosure(false);
  const { getRootProps, getInputProps, isDragActive, isProcessing, open } = useDropzone({
    onDrop: (files) => add(files),
    noClick: true,
    noKeyboard: true,
  });
  const title = isDragActive ? words.drop.active : isProcessing ? words.drop.reading : small ? words.drop.more : words.drop.title;
  const buttons = (
    <Group gap="xs" justify="center">
      <Button leftSection={<IconFiles size={16} />} variant={small ? "default" : "filled"} size={small ? "xs" : "sm"} onClick={open}>
        {words.drop.files}
      </Button>
      <Button leftSection={<IconFolder size={16} />} variant="default" size={small ? "xs" : "sm"} onClick={() => folder.current?.click()}>
        {words.drop.folder}
      </Button>
      <Button leftSection={<IconCloud size={16} />} variant="default" size={small ? "xs" : "sm"} onClick={ask}>
        {words.drop.address}
      </Button>
    </Group>
  );
  return (
    <section {...getRootProps()} role="region" tabIndex={-1} className={css.zone} data-active={isDragActive || undefined} aria-label={words.drop.label}>
      <input {...getInputProps()} aria-label={words.drop.files} />
      <input
        ref={folder}
        type="file"
        hidden
        multiple
        aria-label={words.drop.folder}
        {...{ webkitdirectory: "" }}
        onChange={(event) => {
          add([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
      {small ? (
        <Group justify="space-between" px="md" py="sm">
          <Group gap="xs">
            <IconPhotoPlus size={18} aria-hidden />
            <Text size="sm" fw={500}>
              {title}
            </Text>
          </Group>
          {buttons}
        </Group>
      ) : (
        <Stack align="center" gap="md" px="lg" py={48}>
          <IconPhotoPlus size={44} stroke={1.3} aria-hidden color="var(--mantine-primary-color-filled)" />
          <Stack gap={4} align="center">
            <Title order={3}>{title}</Title>
            <Text c="dimmed" size="sm">
              {words.drop.kinds}
            </Text>
          </Stack>
          {buttons}
        </Stack>
      )}
      <Modal opened={asking} onClose={close} title={<Text fw={600}>{words.place.title}</Text>} closeButtonProps={{ "aria-label": words.dismiss }} size={720} centered>
        <Text size="sm" c="dimmed" mb="md">
          {words.place.lead}
        </Text>
        <PlaceBrowser done={close} />
      </Modal>
    </section>
  );
}
