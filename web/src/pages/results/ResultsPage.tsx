import { Title } from "@mantine/core";

export function ResultsPage() {
  return <Title order={2}>Results</Title>;
}
