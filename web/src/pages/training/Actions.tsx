/** What can be done with a run in its state. */
import { Alert, Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDownload, IconPlayerPlay, IconPlayerStop, IconTrash, IconWorldUpload } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate } from "react-router";

import { answer, api } from "../../api/client";
import { token } from "../../api/login";
import { models } from "../../api/models";
import { Refused } from "../../parts/Refused";
import { isName } from "./dataset";
import { hasEnded, run as runOf, runs, type Run } from "./queries";
import { words } from "./words";

export function Actions({ run }: { run: Run }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [asked, { open: ask, close: leave }] = useDisclosure(false);
  const [publishing, { open: publish, close }] = useDisclosure(false);
  const params = { path: { run: run.id } };
  const act = useMutation({
    mutationFn: (verb: "stop" | "resume") => answer(api.POST(`/api/v1/training/{run}/${verb}`, { params })),
    onSuccess: (changed) => client.setQueryData(runOf(run.id).queryKey, changed),
  });
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE("/api/v1/training/{run}", { params })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: runs.queryKey, exact: true });
      void navigate("/training");
    },
  });
  const fetched = useMutation({ mutationFn: () => download(run) });
  const failed = act.error ?? remove.error ?? fetched.error;
  const stopped = run.state === "stopped" || run.state === "failed";
  return (
    <Stack gap="xs" align="end">
      <Group gap="xs">
        {(run.state === "queued" || run.state === "running") && (
          <Button variant="default" leftSection={<IconPlayerStop size={16} />} loading={act.isPending} onClick={() => act.mutate("stop")}>
            {words.stop}
          </Button>
        )}
        {stopped && (
          <Button leftSection={<IconPlayerPlay size={16} />} loading={act.isPending} onClick={() => act.mutate("resume")}>
            {words.resume}
          </Button>
        )}
        {run.state === "done" && (
          <>
            <Button variant="default" leftSection={<IconDownload size={16} />} loading={fetched.isPending} onClick={() => fetched.mutate()}>
              {words.download}
            </Button>
            <Button leftSection={<IconWorldUpload size={16} />} onClick={publish}>
              {words.publish.button}
            </Button>
          </>
        )}
        {hasEnded(run) && (
          <Button variant="default" leftSection={<IconTrash size={16} />} onClick={ask}>
            {words.remove}
          </Button>
        )}
      </Group>
      {failed && <Refused error={failed} />}
      <Modal opened={asked} onClose={leave} title={words.removeAsk} centered>
        <Group justify="end">
          <Button variant="default" onClick={leave} data-autofocus>
            {words.keep}
          </Button>
          <Button
            color="red"
            onClick={() => {
              remove.mutate();
              leave();
            }}
          >
            {words.yes}
          </Button>
        </Group>
      </Modal>
      <Publish run={run} opened={publishing} close={close} />
    </Stack>
  );
}

function Publish({ run, opened, close }: { run: Run; opened: boolean; close: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState(run.request.name);
  const [version, setVersion] = useState("1.0.0");
  const publish = useMutation({
    mutationFn: () => answer(api.POST("/api/v1/training/{run}/publish", { params: { path: { run: run.id } }, body: { name, version } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: models.queryKey });
      void client.invalidateQueries({ queryKey: runOf(run.id).queryKey });
    },
  });
  const made = publish.data && `${publish.data.name}:${publish.data.version}`;
  return (
    <Modal opened={opened} onClose={close} title={words.publish.title} centered>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          publish.mutate();
        }}
      >
        <Stack>
          <Text size="sm">{words.publish.lead}</Text>
          <TextInput
            label={words.publish.name}
            value={name}
            error={isName(name) ? undefined : words.new.nameWrong}
            onChange={(event) => setName(event.currentTarget.value)}
            data-autofocus
          />
          <TextInput label={words.publish.version} value={version} onChange={(event) => setVersion(event.currentTarget.value)} />
          {Object.values(run.scores).some(({ f1 }) => f1 === 0) && !made && <Alert color="yellow">{words.publish.nothing}</Alert>}
          {publish.error && <Refused error={publish.error} />}
          {made && <Alert color="green">{words.publish.done(made)}</Alert>}
          <Group justify="end">
            {made ? (
              <Button component={Link} to={`/?model=${encodeURIComponent(made)}`}>
                {words.publish.use}
              </Button>
            ) : (
              <Button type="submit" loading={publish.isPending} disabled={!isName(name) || !version}>
                {words.publish.go}
              </Button>
            )}
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

/** The browser sends no token with a link, so the package, of some megabytes, is fetched and then saved. */
async function download(run: Run): Promise<void> {
  const known = token();
  const path = `/api/v1/training/${run.id}/package.zip`;
  const response = await fetch(path, { headers: known ? { Authorization: `Bearer ${known}` } : {} });
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  Object.assign(link, { href: url, download: `${run.request.name}.zip` });
  link.click();
  URL.revokeObjectURL(url);
}
