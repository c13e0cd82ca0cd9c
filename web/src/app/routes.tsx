/** Which address shows which page. Pages are loaded when they are first shown. */
import { createBrowserRouter } from "react-router";

import { Nowhere } from "./Nowhere";
import { Shell } from "./Shell";
import { Trouble } from "./Trouble";

export const router = createBrowserRouter([
  {
    path: "/",
    Component: Shell,
    ErrorBoundary: Trouble,
    // While the first page is loaded, a moment on most machines.
    HydrateFallback: () => null,
    children: [
      { index: true, lazy: async () => ({ Component: (await import("../pages/segment/SegmentPage")).SegmentPage }) },
      { path: "jobs", lazy: async () => ({ Component: (await import("../pages/jobs/JobsPage")).JobsPage }) },
      { path: "jobs/:job", lazy: async () => ({ Component: (await import("../pages/job/JobPage")).JobPage }) },
      {
        path: "jobs/:job/i/:number",
        lazy: async () => ({ Component: (await import("../pages/results/ResultsPage")).ResultsPage }),
      },
      { path: "models", lazy: async () => ({ Component: (await import("../pages/models/ModelsPage")).ModelsPage }) },
      { path: "training", lazy: async () => ({ Component: (await import("../pages/training/TrainingPage")).TrainingPage }) },
      { path: "training/:run", lazy: async () => ({ Component: (await import("../pages/training/RunPage")).RunPage }) },
      { path: "admin", lazy: async () => ({ Component: (await import("../pages/admin/AdminPage")).AdminPage }) },
      { path: "cluster", lazy: async () => ({ Component: (await import("../pages/cluster/ClusterPage")).ClusterPage }) },
      { path: "help", lazy: async () => ({ Component: (await import("../pages/help/HelpPage")).HelpPage }) },
      { path: "*", Component: Nowhere },
    ],
  },
]);
