/** The shortest help that is enough. */
import { Accordion, Stack, Text, TextInput, Title } from "@mantine/core";
import { useState } from "react";

import { words } from "./words";

export function HelpPage() {
  const [text, setText] = useState("");
  const parts = words.parts.filter((part) => `${part.title} ${part.text}`.toLowerCase().includes(text.toLowerCase()));
  return (
    <Stack maw={760} mx="auto" gap="lg">
      <Title order={2}>{words.title}</Title>
      <TextInput placeholder="Search" aria-label="Search the help" value={text} onChange={(e) => setText(e.currentTarget.value)} />
      <Accordion multiple variant="separated" defaultValue={[words.parts[0].id]} order={3}>
        {parts.map(({ id, title, text: body }) => (
          <Accordion.Item key={id} value={id}>
            <Accordion.Control>{title}</Accordion.Control>
            <Accordion.Panel>{body}</Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
      <Text c="dimmed">{words.codes}</Text>
    </Stack>
  );
}
