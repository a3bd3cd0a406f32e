/** Namespaces are compared by these names alone; prefixes are the sender's own business. */
export const NS = {
  soap11: "http://schemas.xmlsoap.org/soap/envelope/",
  soap12: "http://www.w3.org/2003/05/soap-envelope",
  addressing: "http://www.w3.org/2005/08/addressing",
  /** Of August 2004, which .NET 2.0 with WSE still sends: known, so that a refusal can name the setting. */
  addressing2004: "http://schemas.xmlsoap.org/ws/2004/08/addressing",
  security: "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
  utility: "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
  instance: "http://www.w3.org/2001/XMLSchema-instance",
  dispatcher: "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher",
  contract: "urn:waybill:terminal:v1",
} as const;

/** Headers of protocols that WCF switches on by default in wsHttpBinding; a refusal says which setting turns them off. */
export const REFUSED_PROTOCOLS: readonly { readonly namespace: string; readonly why: string }[] = [
  {
    namespace: "http://schemas.xmlsoap.org/ws/2005/02/rm",
    why: 'reliable sessions are not spoken here: set <reliableSession enabled="false"/> on the client\'s binding',
  },
  {
    namespace: "http://docs.oasis-open.org/ws-rx/wsrm/200702",
    why: 'reliable sessions are not spoken here: set <reliableSession enabled="false"/> on the client\'s binding',
  },
  {
    namespace: "http://schemas.xmlsoap.org/ws/2005/02/sc",
    why: 'secure conversations are not spoken here: set <security mode="None"/> or "TransportWithMessageCredential" with establishSecurityContext="false"',
  },
  {
    namespace: "http://docs.oasis-open.org/ws-sx/ws-secureconversation/200512",
    why: 'secure conversations are not spoken here: set <security mode="None"/> or "TransportWithMessageCredential" with establishSecurityContext="false"',
  },
  {
    namespace: "http://schemas.xmlsoap.org/ws/2005/02/trust",
    why: 'message security (WS-Trust) is not spoken here: set <security mode="None"/> or "TransportWithMessageCredential" on the client\'s binding',
  },
  {
    namespace: "http://docs.oasis-open.org/ws-sx/ws-trust/200512",
    why: 'message security (WS-Trust) is not spoken here: set <security mode="None"/> or "TransportWithMessageCredential" on the client\'s binding',
  },
  {
    namespace: "http://www.w3.org/2001/04/xmlenc#",
    why: 'encrypted messages are not read here: set <security mode="None"/> or "TransportWithMessageCredential" on the client\'s binding',
  },
  {
    namespace: "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    why: "WS-Addressing of August 2004 is not spoken here: use WS-Addressing 1.0 (WSHttpBinding, or a textMessageEncoding with messageVersion Soap12WSAddressing10)",
  },
];
