import type { OpenSubject } from "./subject.ts";
export function updatesContract(_adapter: string, _open: OpenSubject): void {}
