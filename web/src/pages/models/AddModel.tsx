/** Gives the service a model package, as a file or by its address; it is checked before it is kept. */
import { Alert, Card, FileButton, Button, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Upload } from "tus-js-client";

import { answer, api } from "../../api/client";
import { token } from "../../api/login";
import { models } from "../../api/models";
import { Refused } from "../../parts/Refused";
import { words } from "./words";

export function AddModel() {
  const client = useQueryClient();
  const [address, setAddress] = useState("");
  const add = useMutation({
    mutationFn: (given: File | string) => (typeof given === "string" ? addFrom(given) : addPackage(given)),
    onSuccess: () => client.invalidateQueries({ queryKey: models.queryKey }),
  });
  return (
    <Card withBorder padding="lg">
      <Stack gap="sm">
        <Title order={3} size="h4">
          {words.add}
        </Title>
        <Text size="sm" c="dimmed">
          {words.addLead}
        </Text>
        {add.error && <Refused error={add.error} />}
        {add.data && (
          <Alert color="green" title={words.added(`${add.data.name} ${add.data.version}`)}>
            {add.data.tested ? words.addedTested : words.addedUntested}
          </Alert>
        )}
        <FileButton accept=".zip" onChange={(file) => file && add.mutate(file)}>
          {(properties) => (
            <Button {...properties} variant="default" loading={add.isPending}>
              {words.choose}
            </Button>
          )}
        </FileButton>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            if (address.trim()) add.mutate(address.trim());
          }}
        >
          <Stack gap="xs">
            <TextInput
              label={words.address}
              placeholder={words.addressHint}
              maxLength={2000}
              value={address}
              onChange={(event) => setAddress(event.currentTarget.value)}
            />
            <Button type="submit" variant="default" disabled={!address.trim()} loading={add.isPending}>
              {words.fetch}
            </Button>
          </Stack>
        </form>
        <Text size="sm" role="status">
          {add.isPending ? words.adding : ""}
        </Text>
      </Stack>
    </Card>
  );
}

const addFrom = (address: string) => answer(api.POST("/api/v1/models", { body: { input: address } }));

/** The upload is a set of its own, which is not needed any more once the model is kept or refused. */
async function addPackage(file: File) {
  const { id } = await answer(api.POST("/api/v1/sets", { body: { name: file.name } }));
  try {
    await send(file, id);
    return await answer(api.POST("/api/v1/models", { body: { input: `set:${id}/${file.name}` } }));
  } finally {
    await api.DELETE("/api/v1/sets/{set_id}", { params: { path: { set_id: id } } });
  }
}

function send(file: File, set: string): Promise<void> {
  const known = token();
  return new Promise((resolve, reject) => {
    new Upload(file, {
      endpoint: "/api/v1/uploads",
      metadata: { set, path: file.name },
      headers: known ? { Authorization: `Bearer ${known}` } : {},
      chunkSize: 16 << 20,
      onSuccess: () => resolve(),
      onError: reject,
    }).start();
  });
}
