/** Shown at an address that has no page. */
import { Button, Stack, Text, Title } from "@mantine/core";
import { Link } from "react-router";

import { words } from "../words";

export function Nowhere() {
  return (
    <Stack align="center" gap="xs" py={80}>
      <Title order={2}>{words.nowhere.title}</Title>
      <Text c="dimmed">{words.nowhere.lead}</Text>
      <Button component={Link} to="/" mt="md">
        {words.nowhere.home}
      </Button>
    </Stack>
  );
}
