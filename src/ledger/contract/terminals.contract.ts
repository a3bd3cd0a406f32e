import type { OpenSubject } from "./subject.ts";
export function terminalsContract(_adapter: string, _open: OpenSubject): void {}
