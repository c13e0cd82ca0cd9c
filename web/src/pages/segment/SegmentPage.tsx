import { Title } from "@mantine/core";

export function SegmentPage() {
  return <Title order={2}>Segment</Title>;
}
