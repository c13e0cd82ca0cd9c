/** The frame of every page: name, places to go, who is signed in. */
import { Anchor, AppShell, Button, Group, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { NavLink, Outlet, ScrollRestoration } from "react-router";

import { Refusal } from "../api/client";
import { setToken } from "../api/login";
import { about } from "../api/queries";
import { words } from "../words";
import { Login } from "./Login";
import css from "./Shell.module.css";

const PLACES = [
  { to: "/", name: words.nav.segment },
  { to: "/jobs", name: words.nav.jobs },
  { to: "/models", name: words.nav.models },
  { to: "/training", name: words.nav.training },
  { to: "/help", name: words.nav.help },
];

export function Shell() {
  const { data: who, error } = useQuery(about);
  const refused = error instanceof Refusal && error.status === 401;
  const places = who?.role === "admin" ? [...PLACES, { to: "/admin", name: words.nav.admin }] : PLACES;
  return (
    <AppShell header={{ height: 56 }} padding="lg">
      <Anchor href="#main" className={css.skip}>
        {words.skip}
      </Anchor>
      <AppShell.Header px="lg" className={css.header}>
        <Group gap="xs">
          <img src="/icon.svg" width={26} height={26} alt="" />
          <Title order={1} size="h4">
            {words.product}
          </Title>
        </Group>
        <Group component="nav" gap={4} aria-label="Pages">
          {places.map(({ to, name }) => (
            <NavLink key={to} to={to} end={to === "/"} className={css.place}>
              {name}
            </NavLink>
          ))}
        </Group>
        <Group gap="sm" ml="auto">
          {who && (
            <Text size="sm" c="dimmed">
              {who.login ? who.user : "on this computer"} · {who.cellfleet}
            </Text>
          )}
          {who?.login && (
            <Button variant="subtle" size="compact-sm" onClick={leave}>
              {words.login.leave}
            </Button>
          )}
        </Group>
      </AppShell.Header>
      <AppShell.Main id="main" tabIndex={-1}>
        {refused ? <Login /> : <Outlet />}
      </AppShell.Main>
      <ScrollRestoration />
    </AppShell>
  );
}

/** The page is loaded anew, so that nothing of one user is in its memory when the next one comes. */
function leave() {
  setToken("");
  window.location.assign("/");
}
