import { describe, expect, it } from "vitest";

import type { Job } from "../../api/client";
import { asCommand, asPython, needsImages } from "./repeat";

const SERVER = "https://cells.lab.example";

const job = (segment: Partial<Job["segment"]>, inputs = ["/data/plate 1"]) =>
  ({
    inputs,
    segment: { format_version: 1, model: "nuclei:1.0.0", channels: [], microns_per_pixel: null, diameter_px: null, axes: null, ...segment },
    model: { name: "nuclei", version: "1.0.0", sha256: "" },
    formats: ["labels-tiff", "csv"],
  }) as unknown as Job;

describe("a job as a command", () => {
  it("has every setting, with words that a shell takes as they are", () => {
    const told = asCommand(job({ channels: [{ role: "nuclear", channels: ["DAPI, bright", 3] }], microns_per_pixel: 0.325, axes: "CYX" }), SERVER);
    expect(told).toBe(
      "cellfleet segment '/data/plate 1' -o results --on https://cells.lab.example --model nuclei:1.0.0" +
        " --channel 'nuclear=DAPI, bright+3' --pixel-size 0.325 --axes CYX --format labels-tiff --format csv",
    );
  });

  it("classifies where the job did", () => {
    const told = asCommand({ ...job({ model: "our-net:1.0", top: 3 }), formats: [] }, SERVER);
    expect(told).toBe("cellfleet classify '/data/plate 1' -o results --on https://cells.lab.example --model our-net:1.0 --top 3");
  });

  it("names the images of uploads once, for they have to be given again", () => {
    const uploads = job({}, ["set:1/a.tif", "set:1/b.tif"]);
    expect(asCommand(uploads, SERVER)).toContain("segment images/ -o");
    expect([needsImages(uploads), needsImages(job({}))]).toEqual([true, false]);
  });
});

describe("a job of one compartment", () => {
  it("keeps it in the command and in Python", () => {
    const nuclei = job({ model: "tissue:1.0.0", compartment: "nuclear" });
    expect(asCommand(nuclei, SERVER)).toContain(" --compartment nuclear ");
    expect(asPython(nuclei, SERVER)).toContain('compartment="nuclear"');
    expect(asCommand(job({}), SERVER) + asPython(job({}), SERVER)).not.toContain("compartment");
  });
});

describe("a job as Python", () => {
  it("classifies where the job did", () => {
    const told = asPython({ ...job({ model: "our-net:1.0", top: 3 }), formats: [] }, SERVER);
    expect(told).toContain('lab.classify(["/data/plate 1"], model="our-net:1.0", top=3)');
  });

  it("counts channels from 0, and has the formats", () => {
    const told = asPython(job({ channels: [{ role: "nuclear", channels: [1, "DAPI"] }], diameter_px: 33 }), SERVER);
    expect(told).toContain('lab.segment(["/data/plate 1"], model="nuclei:1.0.0", channels={"nuclear": [0,"DAPI"]}, diameter=33, formats=["labels-tiff","csv"])');
    expect(asPython(job({ channels: [{ role: null, channels: [2, 3] }] }), SERVER)).toContain("channels=[[1,2]]");
    expect(asPython(job({}), SERVER)).not.toContain("channels");
  });
});
