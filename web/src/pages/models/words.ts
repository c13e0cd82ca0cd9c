/** All texts of the page of models. */
import type { Model } from "../../api/models";
import { counted } from "../../format";

type Compartment = Model["compartments"][number];
const COMPARTMENTS: Record<Compartment, string> = { nuclear: "nuclei", "whole-cell": "cells" };

export const words = {
  title: "Models",
  lead: "What can be found, and how well. F1 says how far a model agrees with labels of images that it did not learn from: 1 is perfect, and it counts on images like those only. Try a model on your own.",
  version: "Version",
  licence: "Licence",
  size: "Size",
  noWeights: "has no weights",
  scale: "Pixel size",
  anyScale: "any (sizes are estimated)",
  finds: "Finds",
  compartments: (all: readonly Compartment[]) => all.map((one) => COMPARTMENTS[one]).join(" and "),
  sees: "Needs",
  channels: (roles: readonly string[]) => `${roles.map((role) => `a ${role}`).join(" and ")} channel`,
  answers: "Answers",
  classes: "a class per image",
  image: "a predicted image, for workflows",
  steps: "Steps",
  test: "Test",
  tested: "gives what its example says",
  untested: "brings no example",
  scores: "F1",
  unscored: "not stated",
  score: (f1: number, data: string) => `${f1.toFixed(2)} · ${data}`,
  moreScores: (n: number) => `${counted(n, "more data set")}: see Details`,
  details: "Details",
  detailsOf: (name: string) => `Details of ${name}`,
  close: "Close",
  byName: {
    title: "Use it by name",
    copy: "Copy",
    copied: "Copied",
    ways: (verb: "segment" | "classify", model: string, server: string) => [
      `cellfleet ${verb} images -o results --model ${model} \\\n    --on ${server}`,
      `import cellfleet

with cellfleet.Client("${server}") as lab:
    job = lab.${verb}(["images"], model="${model}")
    job.wait()
    job.save("results")`,
    ],
  },
  picture: (name: string) => `What ${name} finds`,
  bundled: (version: string) => `${version}, part of cellfleet`,
  isDefault: "default",
  makeDefault: "Make default",
  use: "Segment with it",
  add: "Add a model",
  addLead: "A new package serves the next job at once; running jobs keep the model that they began with. A bioimage.io package with ONNX weights, as a zip. It is checked, its test tensors are run, and then it is kept.",
  choose: "Choose a zip",
  address: "Or its address",
  addressHint: "https://…/package.zip",
  fetch: "Add from the address",
  adding: "The package is being checked…",
  added: (name: string) => `${name} can be used now.`,
  addedTested: "It predicts what the example that it brings says.",
  addedUntested: "It brings no example, so that only its weights were tried.",
} as const;
