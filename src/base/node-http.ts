/**
 * Node's HTTP modules, not by `import`: that reads every name they have, `WebSocket` too, and so loads Node's second HTTP
 * client, 14 MiB that an agent does not need (docs/performance.md, "Memory").
 */
export const http = process.getBuiltinModule("node:http");
export const https = process.getBuiltinModule("node:https");
