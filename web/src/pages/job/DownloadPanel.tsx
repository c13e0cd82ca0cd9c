/** What to take home: which files, as a zip or as a link for somebody else. */
import { Anchor, Button, Checkbox, CopyButton, Drawer, Group, Stack, Text } from "@mantine/core";
import { IconDownload, IconLink } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";

import { answer, api, type Job } from "../../api/client";
import { count } from "../../format";
import { Refused } from "../../parts/Refused";
import { formatNames, words } from "./words";

const WEEK_SECONDS = 7 * 86_400;

export function DownloadPanel({ job, opened, close }: { job: Job; opened: boolean; close: () => void }) {
  const [formats, setFormats] = useState<string[]>([...job.formats]);
  const { images, images_done: done } = job.progress;
  const link = useMutation({
    mutationFn: (seconds: number) =>
      answer(
        api.POST("/api/v1/jobs/{job}/links", {
          params: { path: { job: job.id } },
          body: { what: "zip", formats: formats as Job["formats"], seconds },
        }),
      ),
  });
  // The browser sends no token with a download, so it goes by a link that expires.
  const download = async () => window.location.assign((await link.mutateAsync(600)).url);
  return (
    <Drawer opened={opened} onClose={close} position="right" title={words.panel.title} size="md">
      <Stack>
        <Text size="sm" c="dimmed">
          {words.panel.lead}
        </Text>
        {done < images && <Text size="sm">{words.panel.ready(count(done), count(images))}</Text>}
        <Checkbox.Group label={words.panel.formats} value={formats} onChange={setFormats}>
          <Stack gap="xs" mt="xs">
            {job.formats.map((form) => (
              <Checkbox key={form} value={form} label={formatNames[form] ?? form} />
            ))}
          </Stack>
        </Checkbox.Group>
        {link.error && <Refused error={link.error} />}
        <Button
          leftSection={<IconDownload size={16} />}
          disabled={formats.length === 0}
          loading={link.isPending}
          onClick={() => void download()}
        >
          {words.panel.get}
        </Button>
        <ShareLink make={() => link.mutateAsync(WEEK_SECONDS).then(({ url }) => url)} />
        {job.summarised && <ReportLink job={job.id} />}
      </Stack>
    </Drawer>
  );
}

function ShareLink({ make }: { make: () => Promise<string> }) {
  const [url, setUrl] = useState("");
  if (!url) {
    return (
      <Group gap="xs">
        <Button variant="subtle" leftSection={<IconLink size={16} />} onClick={() => void make().then(setUrl)}>
          {words.panel.link}
        </Button>
        <Text size="xs" c="dimmed">
          {words.panel.linkNote}
        </Text>
      </Group>
    );
  }
  return (
    <CopyButton value={url}>
      {({ copied, copy }) => (
        <Button variant="light" leftSection={<IconLink size={16} />} onClick={copy}>
          {copied ? words.copied : url.slice(0, 44) + "…"}
        </Button>
      )}
    </CopyButton>
  );
}

function ReportLink({ job }: { job: string }) {
  const open = useMutation({
    mutationFn: () =>
      answer(
        api.POST("/api/v1/jobs/{job}/links", { params: { path: { job } }, body: { what: "files", formats: [], seconds: 3600 } }),
      ),
  });
  return (
    <Anchor
      component="button"
      size="sm"
      w="fit-content"
      onClick={() => void open.mutateAsync().then(({ url }) => window.open(`${url.replace(/\/$/, "")}/report.html`, "_blank"))}
    >
      {words.panel.report}
    </Anchor>
  );
}
