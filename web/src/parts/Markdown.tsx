/** Markdown that a package brings, as elements of the page. Markup, pictures and links to files in it are left out. */
import { Anchor, Code, List, Table, Text, Title, type TitleOrder } from "@mantine/core";
import { lexer, type Token, type Tokens } from "marked";
import { Fragment, type ReactNode } from "react";

/** The first heading is the dialog's own; the others begin as h3. */
const ABOVE = 1;

export function Markdown({ text }: { text: string }) {
  return all(lexer(text), block);
}

const all = (tokens: readonly Token[] = [], one: (token: Token) => ReactNode) =>
  tokens.map((token, at) => <Fragment key={at}>{one(token)}</Fragment>);

function block(token: Token): ReactNode {
  switch (token.type) {
    case "heading":
      return heading(token as Tokens.Heading);
    case "paragraph":
      return token.tokens?.every(({ type }) => type === "image") ? null : <Text size="sm">{all(token.tokens, inline)}</Text>;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "code":
      return <Code block>{(token as Tokens.Code).text}</Code>;
    case "blockquote":
      return all(token.tokens, block);
    default:
      return inline(token);
  }
}

function inline(token: Token): ReactNode {
  switch (token.type) {
    case "strong":
      return <b>{all(token.tokens, inline)}</b>;
    case "em":
      return <em>{all(token.tokens, inline)}</em>;
    case "codespan":
      return <Code>{(token as Tokens.Codespan).text}</Code>;
    case "link":
      return link(token as Tokens.Link);
    case "br":
      return <br />;
    case "escape":
      return (token as Tokens.Escape).text;
    case "text":
      return text(token as Tokens.Text);
    default:
      return null;
  }
}

const text = ({ tokens, text: plain }: Tokens.Text): ReactNode => (tokens ? all(tokens, inline) : plain);

function heading({ depth, tokens }: Tokens.Heading): ReactNode {
  if (depth === ABOVE) return null;
  return (
    <Title order={Math.min(depth + ABOVE, 6) as TitleOrder} size="h5" mt="sm">
      {all(tokens, inline)}
    </Title>
  );
}

function link({ href, tokens }: Tokens.Link): ReactNode {
  if (!/^https?:/.test(href)) return all(tokens, inline);
  return (
    <Anchor href={href} target="_blank" rel="noreferrer" inherit>
      {all(tokens, inline)}
    </Anchor>
  );
}

function list({ ordered, items }: Tokens.List): ReactNode {
  return (
    <List size="sm" spacing={4} type={ordered ? "ordered" : "unordered"}>
      {items.map((item, at) => (
        <List.Item key={at}>{all(item.tokens, block)}</List.Item>
      ))}
    </List>
  );
}

function table({ header, rows, align }: Tokens.Table): ReactNode {
  const place = (at: number) => align[at] ?? (at === 0 ? undefined : "right");
  return (
    <Table.ScrollContainer minWidth={0}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            {header.map((cell, at) => (
              <Table.Th key={at} ta={place(at)}>
                {all(cell.tokens, inline)}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row, number) => (
            <Table.Tr key={number}>
              {row.map((cell, at) => (
                <Table.Td key={at} ta={place(at)}>
                  {all(cell.tokens, inline)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
