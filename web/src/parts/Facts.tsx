/** Facts in a row: the name of each small above its value. */
import { SimpleGrid, Text } from "@mantine/core";

export function Facts({ facts }: { facts: readonly (readonly [name: string, value: string])[] }) {
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, md: 6 }} mt="xs">
      {facts.map(([name, value]) => (
        <div key={name}>
          <Text size="xs" c="dimmed">
            {name}
          </Text>
          <Text fw={500} truncate title={value}>
            {value}
          </Text>
        </div>
      ))}
    </SimpleGrid>
  );
}
