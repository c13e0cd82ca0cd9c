export const words = {
  title: "Help",
  parts: [
    {
      id: "segment",
      title: "Segment images",
      text: "Drop images, folders or a zip on the first page. Check the preview: if outlines are too small or merge, give the diameter of a typical cell under Advanced. Then start; you may close the page and come back.",
    },
    {
      id: "privacy",
      title: "What happens to my images",
      text: "They are kept on the machine that runs this service, for you alone. Nothing is sent anywhere else, and the page loads nothing from other servers.",
    },
    {
      id: "results",
      title: "Open the results",
      text: "Download gives a zip. In Fiji, run open_in_fiji.ijm from it, or drag a label image onto Fiji. QuPath reads the GeoJSON, napari the OME-Zarr and the label TIFF. The number of an object is the same in every file.",
    },
    {
      id: "failures",
      title: "Some images failed",
      text: "The job's page says why, and what you can do. The others are done; \"Try the failed ones again\" does only those that failed.",
    },
    {
      id: "keys",
      title: "Keys in the viewer",
      text: "Arrows move, + and − zoom. O shows or hides outlines, N and the brackets [ ] go to the next and previous image.",
    },
    {
      id: "programs",
      title: "Without the page",
      text: "cellfleet segment FOLDER -o RESULTS --on ADDRESS does the same from a terminal, cellfleet.Client from Python. Every job's page has both to copy.",
    },
  ],
  codes: "Every message ends with a code such as E203. docs/reference/errors.md lists all of them, with what to do.",
} as const;
