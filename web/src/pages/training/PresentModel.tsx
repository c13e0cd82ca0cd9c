/** The model that a new one is compared with: any that finds objects. */
import { Select, type SelectProps } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { models, offered } from "../../api/models";

interface Properties extends Pick<SelectProps, "label" | "description" | "aria-label"> {
  /** Name; undefined: the service's default. */
  value?: string;
  choose: (model: string) => void;
}

export function PresentModel({ value, choose, ...labels }: Properties) {
  const { data } = useQuery(models);
  const list = offered(data?.models ?? []);
  const usual = list.find((model) => model.default) ?? list[0];
  const names = list.map(({ name }) => name);
  return <Select {...labels} data={names} value={value ?? usual?.name ?? null} allowDeselect={false} onChange={(name) => name && choose(name)} />;
}
