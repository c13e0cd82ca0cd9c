/** What this browser remembers of files that are on their way, so that they go on after the page was loaded anew. */

export interface RememberedFile {
  path: string;
  size: number;
}

export interface Remembered {
  set: string;
  files: RememberedFile[];
}

/** Remembers the files of one page. */
export class Memory {
  constructor(private readonly key: string) {}

  remember(draft: Remembered): void {
    try {
      localStorage.setItem(this.key, JSON.stringify(draft));
    } catch {
      // Too many files for this browser to remember: only a reload would miss them.
      this.forget();
    }
  }

  forget(): void {
    localStorage.removeItem(this.key);
  }

  remembered(): Remembered | undefined {
    try {
      const found = JSON.parse(localStorage.getItem(this.key) ?? "null") as Remembered | null;
      return found?.set && Array.isArray(found.files) ? found : undefined;
    } catch {
      return undefined;
    }
  }
}

const lockOf = (set: string) => `cellfleet-uploads-${set}`;

/** Tell other tabs, for as long as this one lives, that it sends the files of this set. */
export function claim(set: string): void {
  void navigator.locks?.request(lockOf(set), { ifAvailable: true }, () => new Promise(() => {}));
}

/** Whether another tab sends the files of this set at this moment. */
export async function claimed(set: string): Promise<boolean> {
  const locks = await navigator.locks?.query();
  return locks?.held?.some(({ name }) => name === lockOf(set)) ?? false;
}
