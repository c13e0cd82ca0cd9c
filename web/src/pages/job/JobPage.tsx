import { Title } from "@mantine/core";

export function JobPage() {
  return <Title order={2}>Job</Title>;
}
