"""A client made by zeep from the hub's own WSDL: everything a till does, once per binding. Prints one JSON object."""
import json
import sys
import zeep
from requests import Session
from requests.auth import HTTPBasicAuth

hub, port, terminal, key, first = sys.argv[1:6]
session = Session()
session.auth = HTTPBasicAuth(terminal, key)
session.headers["Connection"] = "keep-alive"
client = zeep.Client(f"{hub}/soap/terminal?singleWsdl", transport=zeep.Transport(session=session, timeout=20))
binding = "{urn:waybill:terminal:v1}" + port
# The WSDL names the public address; the tests' hub is on a port of its own.
service = client.create_service(binding, f"{hub}/soap/terminal/" + ("basic" if port.startswith("Basic") else "ws"))
said = {}

said["ping"] = service.Ping(text=" h\u00e9llo <&> \r\n\U0001f600 ").text


def message(n, **more):
    return {"sequence": n, "messageId": f"m-{n}", "entity": "sale", "operation": "create", "key": f"K-{n}",
            "occurredAt": "2026-03-04T05:06:07.123456Z", "contentType": "application/json", "payload": '{"n":1}', **more}


def submit(messages):
    result = service.SubmitMessages(terminalId=terminal, messages={"SyncMessage": messages})
    return [result.acceptedThrough, result.accepted, result.duplicates]


start = int(first)
batches = [[message(n) for n in range(start + i * 100, start + i * 100 + 100)] for i in range(10)]
said["submitted"] = [submit(batch) for batch in batches][-1]
said["resent"] = submit(batches[-1])
said["int64"] = submit([message(start + 1000, baseVersion=9223372036854775807, payload="x" * 8192, contentType="text/plain")])
try:
    service.SubmitMessages(terminalId=terminal, messages=None)
except zeep.exceptions.Fault as fault:
    detail = fault.detail[0] if len(fault.detail) else fault.detail
    typed = client.get_element("{urn:waybill:terminal:v1}SyncFault").parse(detail, client.wsdl.types)
    said["fault"] = [typed.code, typed.retryable]
keys, more = [], True
while more:
    batch = service.PullUpdates(terminalId=terminal, maxCount=2, maxBytes=0)
    updates = batch.updates.Update if batch.updates else []
    keys += [update.key for update in updates]
    if updates:
        results = [{"updateId": update.updateId, "status": "Applied"} for update in updates]
        service.AcknowledgeUpdates(terminalId=terminal, batchId=batch.batchId, results={"UpdateResult": results})
    more = batch.hasMore
said["pulled"] = keys
status = service.GetStatus(terminalId=terminal)
said["status"] = [status.terminalId, status.acceptedThrough, status.pendingUpdates]
print(json.dumps(said))
