import type { OpenSubject } from "./subject.ts";
export function exceptionsContract(_adapter: string, _open: OpenSubject): void {}
