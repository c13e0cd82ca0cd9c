/** Makes a token and shows it, once. */
import { Alert, Button, Code, CopyButton, Group, Modal, NumberInput, Select, Stack, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { answer, api, type Schemas } from "../../api/client";
import { Refused } from "../../parts/Refused";
import { words } from "./words";

interface Form {
  user: string;
  role: Schemas["NewToken"]["role"];
  note: string;
  days?: number;
  gb?: number;
  jobs?: number;
}

const EMPTY: Form = { user: "", role: "user", note: "" };
const optional = (value: string | number) => (typeof value === "number" ? value : undefined);

export function NewToken() {
  const client = useQueryClient();
  const [opened, { open, close }] = useDisclosure(false);
  const [form, setForm] = useState(EMPTY);
  const make = useMutation({
    mutationFn: ({ user, role, note, days, gb, jobs }: Form) =>
      answer(
        api.POST("/api/v1/admin/tokens", {
          body: { user, role, note, days, quota: { bytes: gb === undefined ? null : gb * 1e9, running_jobs: jobs ?? null } },
        }),
      ),
    onSuccess: () => client.invalidateQueries(),
  });
  const change = (part: Partial<Form>) => setForm({ ...form, ...part });
  const leave = () => {
    close();
    make.reset();
    setForm(EMPTY);
  };
  return (
    <>
      <Button onClick={open}>{words.make}</Button>
      <Modal opened={opened} onClose={leave} title={words.make}>
        {make.data ? (
          <Shown token={make.data.token} />
        ) : (
          <Stack>
            <TextInput label={words.form.user} value={form.user} onChange={(e) => change({ user: e.currentTarget.value })} data-autofocus />
            <Select
              label={words.form.role}
              data={[...words.roles]}
              value={form.role}
              onChange={(role) => change({ role: (role ?? "user") as Form["role"] })}
              allowDeselect={false}
            />
            <NumberInput label={words.form.days} min={1} placeholder={words.never} onChange={(v) => change({ days: optional(v) })} />
            <NumberInput label={words.form.gb} min={0} placeholder={words.noLimit} onChange={(v) => change({ gb: optional(v) })} />
            <NumberInput label={words.form.jobs} min={0} placeholder={words.noLimit} onChange={(v) => change({ jobs: optional(v) })} />
            <TextInput label={words.form.note} value={form.note} onChange={(e) => change({ note: e.currentTarget.value })} />
            {make.error && <Refused error={make.error} />}
            <Button disabled={!form.user.trim()} loading={make.isPending} onClick={() => make.mutate(form)}>
              {words.form.make}
            </Button>
          </Stack>
        )}
      </Modal>
    </>
  );
}

function Shown({ token }: { token: string }) {
  return (
    <Stack>
      <Alert color="yellow">{words.made}</Alert>
      <Code block style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
        {token}
      </Code>
      <CopyButton value={token}>
        {({ copied, copy }) => (
          <Group justify="end">
            <Button onClick={copy}>{copied ? words.copied : words.copy}</Button>
          </Group>
        )}
      </CopyButton>
    </Stack>
  );
}
