/** Asks for the token where the service needs one. */
import { Alert, Button, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useState, type FormEvent } from "react";

import { setToken, token } from "../api/login";
import { queries } from "../api/queries";
import { words } from "../words";

export function Login() {
  const [value, setValue] = useState("");
  const [tried, setTried] = useState(token() !== "");
  async function signIn(event: FormEvent) {
    event.preventDefault();
    setToken(value.trim());
    setTried(true);
    await queries.invalidateQueries();
  }
  return (
    <Paper component="form" onSubmit={(event) => void signIn(event)} withBorder p="xl" maw={440} mx="auto" mt={80}>
      <Stack>
        <Title order={2}>{words.login.title}</Title>
        <Text c="dimmed">{words.login.lead}</Text>
        {tried && <Alert color="red">{words.login.wrong}</Alert>}
        <PasswordInput
          label={words.login.label}
          value={value}
          onChange={(event) => setValue(event.currentTarget.value)}
          autoComplete="current-password"
          data-autofocus
        />
        <Button type="submit" disabled={!value.trim()}>
          {words.login.button}
        </Button>
      </Stack>
    </Paper>
  );
}
