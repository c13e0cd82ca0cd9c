/** Who may do what: users with what they use, and tokens. */
import { Alert, Anchor, Button, Card, Group, Stack, Table, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "react-router";

import { answer, api } from "../../api/client";
import { about, costs } from "../../api/queries";
import { ago, bytes, dollars } from "../../format";
import { Refused } from "../../parts/Refused";
import { NewToken } from "./NewToken";
import { words } from "./words";

export function AdminPage() {
  const { data: who } = useQuery(about);
  return (
    <Stack maw={1000} mx="auto" gap="xl">
      <Title order={2}>{words.title}</Title>
      {who && !who.login && (
        <Alert title={words.noLogin}>
          {words.noLoginHint}
        </Alert>
      )}
      <Users />
      <Tokens />
      <Card withBorder padding="lg">
        <Title order={3} size="h4">
          {words.cluster}
        </Title>
        <Anchor component={Link} to="/cluster">
          {words.clusterLead}
        </Anchor>
      </Card>
    </Stack>
  );
}

function Users() {
  const list = useQuery({ queryKey: ["users"], queryFn: () => answer(api.GET("/api/v1/admin/users")) });
  const month = useQuery(costs());
  const spent = new Map(month.data?.users.map(({ owner, usd }) => [owner, usd]));
  const { user, used, jobs, cost } = words.columns;
  return (
    <section>
      <Title order={3} size="h4" mb="sm">
        {words.users}
      </Title>
      {list.error && <Refused error={list.error} />}
      <Table>
        <Table.Thead>
          <Table.Tr>
            {[user, used, jobs, cost].map((name) => (
              <Table.Th key={name}>{name}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {list.data?.users.map((one) => (
            <Table.Tr key={one.name}>
              <Table.Td>{one.name}</Table.Td>
              <Table.Td>{limited(bytes(one.used_bytes), one.quota.bytes, bytes)}</Table.Td>
              <Table.Td>{limited(String(one.running_jobs), one.quota.running_jobs, String)}</Table.Td>
              <Table.Td>{month.data ? dollars(spent.get(one.name) ?? 0) : "–"}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {list.data?.users.length === 0 && <Nothing />}
    </section>
  );
}

function Nothing() {
  return (
    <Text c="dimmed" size="sm" p="sm">
      {words.none}
    </Text>
  );
}

function limited(used: string, most: number | null | undefined, shown: (value: number) => string): string {
  return most === null || most === undefined ? `${used} (${words.noLimit})` : `${used} ${words.of} ${shown(most)}`;
}

function Tokens() {
  const client = useQueryClient();
  const list = useQuery({ queryKey: ["tokens"], queryFn: () => answer(api.GET("/api/v1/admin/tokens")) });
  const revoke = useMutation({
    mutationFn: (id: string) => answer(api.DELETE("/api/v1/admin/tokens/{token_id}", { params: { path: { token_id: id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["tokens"] }),
  });
  const { user, role, note, made, ends } = words.columns;
  const failed = list.error ?? revoke.error;
  return (
    <section>
      <Group justify="space-between" mb="sm">
        <Title order={3} size="h4">
          {words.tokens}
        </Title>
        <NewToken />
      </Group>
      {failed && <Refused error={failed} />}
      <Table>
        <Table.Thead>
          <Table.Tr>
            {[user, role, note, made, ends, ""].map((name) => (
              <Table.Th key={name}>{name}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {list.data?.tokens.map((token) => (
            <Table.Tr key={token.id}>
              <Table.Td>{token.user}</Table.Td>
              <Table.Td>{token.role}</Table.Td>
              <Table.Td>{token.note}</Table.Td>
              <Table.Td>{ago(token.created_ms)}</Table.Td>
              <Table.Td>{token.expires_ms ? new Date(token.expires_ms).toLocaleDateString() : words.never}</Table.Td>
              <Table.Td ta="right">
                <Button variant="subtle" color="red" size="compact-sm" onClick={() => revoke.mutate(token.id)}>
                  {words.revoke}
                </Button>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {list.data?.tokens.length === 0 && <Nothing />}
    </section>
  );
}
