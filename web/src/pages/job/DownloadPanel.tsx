/** What to take home: which files of which images, as a zip or as a link for somebody else. */
import { Anchor, Button, Checkbox, Code, CopyButton, Drawer, Group, Radio, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconDownload, IconLink } from "@tabler/icons-react";
import { keepPreviousData, useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { answer, api, type Job, type Schemas } from "../../api/client";
import { bytes, count, counted } from "../../format";
import { Refused } from "../../parts/Refused";
import css from "./DownloadPanel.module.css";
import { formatNames, words } from "./words";

const WEEK_SECONDS = 7 * 86_400;
const TYPED_MS = 300;
const LONGEST_NAMED = 200;
/** A zip cannot be resumed; `cellfleet jobs fetch` can. */
const LARGE_BYTES = 5e9;

type Format = Job["formats"][number];

/** What the files weigh, of images with `named` in their name. */
const weigh = (job: Job, named: string) => ({
  queryKey: ["sizes", job.id, named, job.progress.images_done],
  queryFn: () => answer(api.GET("/api/v1/jobs/{job}/sizes", { params: { path: { job: job.id }, query: { named } } })),
  placeholderData: keepPreviousData,
});

export function DownloadPanel({ job, opened, close }: { job: Job; opened: boolean; close: () => void }) {
  return (
    <Drawer opened={opened} onClose={close} position="right" title={words.panel.title} size="md">
      <Choices job={job} />
    </Drawer>
  );
}

/** What is chosen, and what it weighs. */
function useChoice(job: Job) {
  const [formats, setFormats] = useState<string[]>([...job.formats]);
  const [some, setSome] = useState(false);
  const [typed, setTyped] = useState("");
  const named = some ? typed.trim() : "";
  const [asked] = useDebouncedValue(named, TYPED_MS);
  const { data: sizes, error } = useQuery(weigh(job, asked));
  const found = asked ? sizes?.images : undefined;
  const nobody = some && (named === "" || found === 0);
  return { formats, setFormats, some, setSome, typed, setTyped, named, sizes, error, found, nothing: nobody || (formats.length === 0 && job.formats.length > 0) };
}

function Choices({ job }: { job: Job }) {
  const { formats, setFormats, some, setSome, typed, setTyped, named, sizes, error, found, nothing } = useChoice(job);
  const link = useMutation({
    mutationFn: (seconds: number) =>
      answer(
        api.POST("/api/v1/jobs/{job}/links", {
          params: { path: { job: job.id } },
          body: { what: "zip", formats: formats as Format[], named, seconds },
        }),
      ),
  });
  // The browser sends no token with a download, so it goes by a link that expires.
  const download = async () => window.location.assign((await link.mutateAsync(600)).url);
  const { images_done: done } = job.progress;
  const all = sizeOf(sizes, formats);
  return (
    <Stack>
      <Lead job={job} />
      {!job.segment.top && (
        <Radio.Group label={words.panel.images} value={some ? "some" : "all"} onChange={(value) => setSome(value === "some")}>
          <Stack gap="xs" mt="xs">
            <Radio value="all" label={words.panel.whole(counted(done, "image"))} />
            <Radio value="some" label={words.panel.some} />
          </Stack>
        </Radio.Group>
      )}
      {some && <PartOfName typed={typed} type={setTyped} found={found} />}
      {job.formats.length > 0 && (
        <Checkbox.Group label={words.panel.formats} value={formats} onChange={setFormats}>
          <Stack gap="xs" mt="xs">
            {job.formats.map((form) => (
              <Checkbox key={form} value={form} classNames={css} label={<FormatLabel form={form} sizes={sizes} failed={error !== null} />} />
            ))}
          </Stack>
        </Checkbox.Group>
      )}
      {link.error && <Refused error={link.error} />}
      <Button leftSection={<IconDownload size={16} />} disabled={nothing} loading={link.isPending} onClick={() => void download()}>
        {sizes && all > 0 && !nothing ? words.panel.getSize(sizeText(sizes, all)) : words.panel.get}
      </Button>
      {all > LARGE_BYTES && <AsCommand job={job.id} />}
      <ShareLink
        key={`${formats.join()} ${named}`}
        disabled={nothing}
        make={() => link.mutateAsync(WEEK_SECONDS).then(({ url }) => url)}
      />
      {job.summarised && <ReportLink job={job.id} />}
    </Stack>
  );
}

function Lead({ job }: { job: Job }) {
  const { images, images_done: done } = job.progress;
  return (
    <>
      <Text size="sm" c="dimmed">
        {job.segment.top ? words.panel.leadClasses : words.panel.lead}
      </Text>
      {done < images && <Text size="sm">{words.panel.ready(count(done), count(images))}</Text>}
    </>
  );
}

function PartOfName({ typed, type, found }: { typed: string; type: (text: string) => void; found?: number }) {
  return (
    <TextInput
      label={words.panel.named}
      placeholder={words.panel.namedHint}
      maxLength={LONGEST_NAMED}
      value={typed}
      onChange={(event) => type(event.currentTarget.value)}
      description={<span aria-live="polite">{found === undefined ? "" : words.panel.matching(found)}</span>}
      inputWrapperOrder={["label", "input", "description"]}
    />
  );
}

function AsCommand({ job }: { job: string }) {
  return (
    <Text size="sm" component="div">
      {words.panel.large}
      <Code block mt={4}>{`cellfleet jobs fetch ${job} --on ${window.location.origin} -o results`}</Code>
    </Text>
  );
}

function FormatLabel({ form, sizes, failed }: { form: Format; sizes?: Schemas["Sizes"]; failed: boolean }) {
  const size = sizes?.formats.find(({ format }) => format === form)?.bytes;
  return (
    <Group justify="space-between" gap="xs" wrap="nowrap" component="span">
      <span>{formatNames[form] ?? form}</span>
      {!failed && (
        <Text span size="sm" c="dimmed" className={css.size}>
          {sizes && size !== undefined ? sizeText(sizes, size) : words.panel.weighing}
        </Text>
      )}
    </Group>
  );
}

const sizeOf = (sizes: Schemas["Sizes"] | undefined, formats: readonly string[]) =>
  (sizes?.formats ?? []).reduce((sum, one) => sum + (formats.includes(one.format) ? one.bytes : 0), 0);

/** Exact where all images were looked at. */
const sizeText = ({ images, looked_at: looked }: Schemas["Sizes"], size: number) =>
  looked < images ? words.panel.about(bytes(size)) : bytes(size);

function ShareLink({ make, disabled }: { make: () => Promise<string>; disabled: boolean }) {
  const [url, setUrl] = useState("");
  if (!url) {
    return (
      <Group gap="xs">
        <Button
          variant="subtle"
          leftSection={<IconLink size={16} />}
          disabled={disabled}
          onClick={() => void make().then(setUrl, () => undefined)}
        >
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
        api.POST("/api/v1/jobs/{job}/links", { params: { path: { job } }, body: { what: "files", formats: [], named: "", seconds: 3600 } }),
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
