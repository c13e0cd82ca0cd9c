/** Texts that several pages share. */
export const words = {
  product: "cellfleet",
  nav: { segment: "Segment", jobs: "Jobs", models: "Models", admin: "Admin", help: "Help" },
  skip: "Skip to the page",
  close: "Close",
  login: {
    title: "Sign in",
    lead: "This service needs a token. Ask the person who runs it for one.",
    label: "Token",
    button: "Sign in",
    leave: "Sign out",
    wrong: "This token is not known here, or has expired.",
  },
  refused: "This did not work",
  again: "Try again",
  states: {
    listing: "looking for images",
    queued: "waiting",
    running: "running",
    paused: "paused",
    done: "done",
    partly: "done, some images failed",
    failed: "failed",
    cancelled: "cancelled",
  },
  nowhere: { title: "There is no such page", lead: "The address may be cut or mistyped.", home: "To the first page" },
  trouble: { title: "Something went wrong on this page", again: "Load the page again", details: "Technical details" },
} as const;
