/** Reads a CSV as it arrives: RFC 4180, one row at a time. */

/** Feed it text; it tells each whole row. */
export class CsvReader {
  private row: string[] = [];
  private field = "";
  private quoted = false;
  /** A quote within quotes has come: the next character says what it means. */
  private closing = false;

  constructor(private readonly tell: (row: string[]) => void) {}

  push(text: string) {
    let from = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (this.closing) {
        this.closing = false;
        if (code === QUOTE) {
          from = at; // a doubled quote is one
          continue;
        }
        this.quoted = false;
        from = at;
      }
      if (code === QUOTE) {
        this.field += text.slice(from, at);
        from = at + 1;
        if (this.quoted) this.closing = true;
        else this.quoted = true;
      } else if (!this.quoted && (code === COMMA || code === LINE)) {
        this.endField(text.slice(from, at));
        from = at + 1;
        if (code === LINE) this.endRow();
      }
    }
    if (!this.closing) this.field += text.slice(from);
  }

  end() {
    if (this.field || this.row.length > 0) {
      this.endField("");
      this.endRow();
    }
  }

  private endField(rest: string) {
    this.row.push(this.field + rest);
    this.field = "";
  }

  private endRow() {
    const last = this.row.length - 1;
    this.row[last] = (this.row[last] as string).replace(/\r$/, "");
    this.tell(this.row);
    this.row = [];
  }
}

const [QUOTE, COMMA, LINE] = [34, 44, 10];

/** Numbers of one table; a missing one is NaN. */
export interface Table {
  columns: Map<string, Float64Array>;
  rows: number;
  /** Number of an object → its row. */
  rowOf: Map<number, number>;
}

/** Keeps the columns that hold numbers. */
export class TableBuilder {
  private names: string[] = [];
  private columns: Float64Array[] = [];
  private rows = 0;
  private texts = new Set<number>();
  private reader = new CsvReader((row) => (this.names.length === 0 ? this.begin(row) : this.add(row)));

  push(text: string) {
    this.reader.push(text);
  }

  /** Return all that came. */
  table(): Table {
    this.reader.end();
    const columns = new Map<string, Float64Array>();
    this.names.forEach((name, at) => {
      if (!this.texts.has(at)) columns.set(name, (this.columns[at] as Float64Array).slice(0, this.rows));
    });
    const rowOf = new Map<number, number>();
    columns.get("label")?.forEach((label, row) => rowOf.set(label, row));
    return { columns, rows: this.rows, rowOf };
  }

  private begin(names: string[]) {
    this.names = names;
    this.columns = names.map(() => new Float64Array(1024));
  }

  private add(row: string[]) {
    this.columns.forEach((column, at) => {
      let room = column;
      if (this.rows === room.length) {
        room = new Float64Array(2 * room.length);
        room.set(column);
        this.columns[at] = room;
      }
      room[this.rows] = this.number(row[at] ?? "", at);
    });
    this.rows += 1;
  }

  private number(text: string, at: number): number {
    if (text === "") return NaN;
    const value = Number(text.replace(/inf$/, "Infinity"));
    if (Number.isNaN(value) && text !== "nan") this.texts.add(at);
    return value;
  }
}

/** Read a table from an answer, as it arrives. */
export async function readTable(body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Table> {
  const made = new TableBuilder();
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return made.table();
    made.push(value);
  }
}
