import type { OpenSubject } from "./subject.ts";
export function trailContract(_adapter: string, _open: OpenSubject): void {}
