/** What can be done with a job in its state. */
import { Button, CopyButton, Group, Menu, Modal, Stack, Text, ActionIcon } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDots, IconDownload, IconPlayerPause, IconPlayerPlay, IconRefresh, IconTrash, IconX } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";

import { answer, api, type Job } from "../../api/client";
import { job as jobQuery } from "../../api/queries";
import { hasEnded } from "../../api/useJob";
import { Refused } from "../../parts/Refused";
import { DownloadPanel } from "./DownloadPanel";
import { asCommand, asPython, needsImages } from "./repeat";
import { words } from "./words";

type Verb = "pause" | "resume" | "cancel" | "retry";

const post = (verb: Verb, job: string) => answer(api.POST(`/api/v1/jobs/{job}/${verb}`, { params: { path: { job } } }));

export function Actions({ job }: { job: Job }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [asked, setAsked] = useState<"cancel" | "remove">();
  const [panel, { open, close }] = useDisclosure(false);
  const act = useMutation({
    mutationFn: (verb: Verb) => post(verb, job.id),
    onSuccess: (changed) => client.setQueryData(jobQuery(job.id).queryKey, changed),
  });
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE("/api/v1/jobs/{job}", { params: { path: { job: job.id } } })),
    onSuccess: () => void navigate("/jobs"),
  });
  const ended = hasEnded(job);
  const failed = act.error ?? remove.error;
  return (
    <Stack gap="xs" align="end">
      <Group gap="xs" wrap="nowrap">
        {!ended && job.state !== "paused" && (
          <Button variant="default" leftSection={<IconPlayerPause size={16} />} onClick={() => act.mutate("pause")}>
            {words.pause}
          </Button>
        )}
        {job.state === "paused" && (
          <Button leftSection={<IconPlayerPlay size={16} />} onClick={() => act.mutate("resume")}>
            {words.resume}
          </Button>
        )}
        {!ended && (
          <Button variant="default" leftSection={<IconX size={16} />} onClick={() => setAsked("cancel")}>
            {words.cancel}
          </Button>
        )}
        {job.state === "failed" && (
          <Button leftSection={<IconRefresh size={16} />} onClick={() => act.mutate("retry")} loading={act.isPending}>
            {words.retry}
          </Button>
        )}
        <Button
          variant={ended ? "filled" : "default"}
          leftSection={<IconDownload size={16} />}
          onClick={open}
          disabled={job.progress.images_done === 0}
        >
          {words.download}
        </Button>
        <More job={job} ended={ended} remove={() => setAsked("remove")} />
      </Group>
      {failed && <Refused error={failed} />}
      <DownloadPanel job={job} opened={panel} close={close} />
      <Confirm
        text={asked === "cancel" ? words.cancelAsk : asked && words.removeAsk}
        close={() => setAsked(undefined)}
        yes={() => (asked === "cancel" ? act.mutate("cancel") : remove.mutate())}
      />
    </Stack>
  );
}

function More({ job, ended, remove }: { job: Job; ended: boolean; remove: () => void }) {
  const copied = needsImages(job) ? words.copiedUploads : words.copied;
  return (
    // The first entry has the focus, not an empty place before it.
    <Menu position="bottom-end" withInitialFocusPlaceholder={false}>
      <Menu.Target>
        <ActionIcon variant="default" size={36} aria-label="More">
          <IconDots size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Copy text={asCommand(job, window.location.origin)} name={words.copyCommand} done={copied} />
        <Copy text={asPython(job, window.location.origin)} name={words.copyPython} done={copied} />
        {ended && (
          <Menu.Item color="var(--mantine-color-red-text)" leftSection={<IconTrash size={16} />} onClick={remove}>
            {words.remove}
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function Copy({ text, name, done }: { text: string; name: string; done: string }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Menu.Item closeMenuOnClick={false} onClick={copy}>
          {copied ? done : name}
        </Menu.Item>
      )}
    </CopyButton>
  );
}

function Confirm({ text, close, yes }: { text?: string; close: () => void; yes: () => void }) {
  return (
    <Modal opened={Boolean(text)} onClose={close} title={text} centered>
      <Group justify="end">
        <Button variant="default" onClick={close} data-autofocus>
          {words.keep}
        </Button>
        <Button
          color="red"
          onClick={() => {
            yes();
            close();
          }}
        >
          <Text span inherit>
            {words.yes}
          </Text>
        </Button>
      </Group>
    </Modal>
  );
}
