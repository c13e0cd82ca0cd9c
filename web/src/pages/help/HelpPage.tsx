import { Title } from "@mantine/core";

export function HelpPage() {
  return <Title order={2}>Help</Title>;
}
