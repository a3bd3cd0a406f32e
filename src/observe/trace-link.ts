/** A trace's page in the tool where people look at traces. @param link the config's address, with `{trace}` for the id */
export const tracePage = (link: string, trace: string): string => link.replaceAll("{trace}", trace);
