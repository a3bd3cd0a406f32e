import { systemRuntime } from "../base/runtime.ts";
import { serve } from "../base/thread.ts";
import { openCentral } from "./open-central.ts";
import { loadHubSettings, type ConfigSource } from "./load-config.ts";

/** The loading thread: it reads the config itself, since transforms and audiences are functions and cannot be sent to it. */
await serve(async (source: ConfigSource) => openCentral(await loadHubSettings(source), systemRuntime));
