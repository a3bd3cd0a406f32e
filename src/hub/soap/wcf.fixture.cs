// A till as an integrator writes it with WCF: contract, data contracts and bindings as svcutil makes them of our WSDL.
// Does everything a till does, once per binding, and prints one JSON object. Built and run by wcf.test.ts, under Mono.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Net;
using System.Runtime.Serialization;
using System.ServiceModel;
using System.ServiceModel.Channels;

static class Contract { public const string NS = "urn:waybill:terminal:v1"; public const string Action = NS + "/ITerminalSync/"; }

[DataContract(Namespace = Contract.NS)] public class SyncMessage {
  [DataMember(Order = 0)] public long sequence;
  [DataMember(Order = 1)] public string messageId;
  [DataMember(Order = 2)] public string entity;
  [DataMember(Order = 3)] public string operation;
  [DataMember(Order = 4)] public string key;
  [DataMember(Order = 5)] public DateTime occurredAt;
  [DataMember(Order = 6, EmitDefaultValue = false)] public string contentType;
  [DataMember(Order = 7)] public string payload;
  [DataMember(Order = 8, EmitDefaultValue = false)] public byte[] payloadBytes;
  [DataMember(Order = 9, EmitDefaultValue = false)] public long? baseVersion;
  [DataMember(Order = 10, EmitDefaultValue = false)] public string traceParent;
}
[CollectionDataContract(Namespace = Contract.NS, ItemName = "SyncMessage")] public class ArrayOfSyncMessage : List<SyncMessage> { }
[DataContract(Namespace = Contract.NS)] public class Rejection {
  [DataMember(Order = 0)] public long sequence;
  [DataMember(Order = 1)] public string messageId;
  [DataMember(Order = 2)] public string code;
  [DataMember(Order = 3)] public string reason;
  [DataMember(Order = 4)] public bool retryable;
}
[CollectionDataContract(Namespace = Contract.NS, ItemName = "Rejection")] public class ArrayOfRejection : List<Rejection> { }
[DataContract(Namespace = Contract.NS)] public class SubmitResult {
  [DataMember(Order = 0)] public long acceptedThrough;
  [DataMember(Order = 1)] public int accepted;
  [DataMember(Order = 2)] public int duplicates;
  [DataMember(Order = 3)] public ArrayOfRejection rejected;
}
[DataContract(Namespace = Contract.NS)] public class Update {
  [DataMember(Order = 0)] public string updateId;
  [DataMember(Order = 1)] public string entity;
  [DataMember(Order = 2)] public string operation;
  [DataMember(Order = 3)] public string key;
  [DataMember(Order = 4)] public long version;
  [DataMember(Order = 5)] public DateTime occurredAt;
  [DataMember(Order = 6)] public string contentType;
  [DataMember(Order = 7)] public string payload;
  [DataMember(Order = 8)] public byte[] payloadBytes;
  [DataMember(Order = 9)] public string traceParent;
}
[CollectionDataContract(Namespace = Contract.NS, ItemName = "Update")] public class ArrayOfUpdate : List<Update> { }
[DataContract(Namespace = Contract.NS)] public class UpdateBatch {
  [DataMember(Order = 0)] public string batchId;
  [DataMember(Order = 1)] public ArrayOfUpdate updates;
  [DataMember(Order = 2)] public string nextCursor;
  [DataMember(Order = 3)] public bool hasMore;
}
[DataContract(Namespace = Contract.NS)] public enum UpdateOutcome { [EnumMember] Applied, [EnumMember] Failed, [EnumMember] Skipped }
[DataContract(Namespace = Contract.NS)] public class UpdateResult {
  [DataMember(Order = 0)] public string updateId;
  [DataMember(Order = 1)] public UpdateOutcome status;
  [DataMember(Order = 2, EmitDefaultValue = false)] public string error;
}
[CollectionDataContract(Namespace = Contract.NS, ItemName = "UpdateResult")] public class ArrayOfUpdateResult : List<UpdateResult> { }
[DataContract(Namespace = Contract.NS)] public class AckResult {
  [DataMember(Order = 0)] public int acknowledged;
  [DataMember(Order = 1)] public int unknown;
  [DataMember(Order = 2)] public string cursor;
}
[DataContract(Namespace = Contract.NS)] public class TerminalStatus {
  [DataMember(Order = 0)] public string terminalId;
  [DataMember(Order = 1)] public long acceptedThrough;
  [DataMember(Order = 2)] public int pendingUpdates;
  [DataMember(Order = 3)] public string cursor;
  [DataMember(Order = 4)] public DateTime? lastSeenAt;
  [DataMember(Order = 5)] public DateTime serverTime;
}
[DataContract(Namespace = Contract.NS)] public class PingReply {
  [DataMember(Order = 0)] public string text;
  [DataMember(Order = 1)] public DateTime serverTime;
  [DataMember(Order = 2)] public string contractVersion;
}
[DataContract(Namespace = Contract.NS)] public class SyncFault {
  [DataMember(Order = 0)] public string code;
  [DataMember(Order = 1)] public string message;
  [DataMember(Order = 2)] public bool retryable;
  [DataMember(Order = 3)] public int? retryAfterSeconds;
}

[ServiceContract(Name = "ITerminalSync", Namespace = Contract.NS)] public interface ITerminalSync {
  [OperationContract(Action = Contract.Action + "Ping", ReplyAction = Contract.Action + "PingResponse")]
  [FaultContract(typeof(SyncFault), Action = Contract.Action + "PingSyncFaultFault", Name = "SyncFault", Namespace = Contract.NS)]
  PingReply Ping(string text);
  [OperationContract(Action = Contract.Action + "SubmitMessages", ReplyAction = Contract.Action + "SubmitMessagesResponse")]
  [FaultContract(typeof(SyncFault), Action = Contract.Action + "SubmitMessagesSyncFaultFault", Name = "SyncFault", Namespace = Contract.NS)]
  SubmitResult SubmitMessages(string terminalId, ArrayOfSyncMessage messages);
  [OperationContract(Action = Contract.Action + "PullUpdates", ReplyAction = Contract.Action + "PullUpdatesResponse")]
  [FaultContract(typeof(SyncFault), Action = Contract.Action + "PullUpdatesSyncFaultFault", Name = "SyncFault", Namespace = Contract.NS)]
  UpdateBatch PullUpdates(string terminalId, string afterCursor, int maxCount, int maxBytes);
  [OperationContract(Action = Contract.Action + "AcknowledgeUpdates", ReplyAction = Contract.Action + "AcknowledgeUpdatesResponse")]
  [FaultContract(typeof(SyncFault), Action = Contract.Action + "AcknowledgeUpdatesSyncFaultFault", Name = "SyncFault", Namespace = Contract.NS)]
  AckResult AcknowledgeUpdates(string terminalId, string batchId, ArrayOfUpdateResult results);
  [OperationContract(Action = Contract.Action + "GetStatus", ReplyAction = Contract.Action + "GetStatusResponse")]
  [FaultContract(typeof(SyncFault), Action = Contract.Action + "GetStatusSyncFaultFault", Name = "SyncFault", Namespace = Contract.NS)]
  TerminalStatus GetStatus(string terminalId);
}

static class Till {
  static string terminal;

  static SyncMessage Sale(long n) {
    return new SyncMessage {
      sequence = n, messageId = "m-" + n, entity = "sale", operation = "create", key = "K-" + n, contentType = "application/json",
      occurredAt = new DateTime(2026, 3, 4, 5, 6, 7, DateTimeKind.Utc).AddTicks(1234567), payload = "{\"total\":12.50}"
    };
  }
  static ArrayOfSyncMessage List(IEnumerable<SyncMessage> messages) {
    var list = new ArrayOfSyncMessage();
    list.AddRange(messages);
    return list;
  }
  static string Counts(SubmitResult result) { return "[" + result.acceptedThrough + "," + result.accepted + "," + result.duplicates + "]"; }
  static string Json(string text) {
    return "\"" + string.Concat(text.Select(c => c < ' ' || c > '~' || c == '"' || c == '\\' ? "\\u" + ((int)c).ToString("x4") : c.ToString())) + "\"";
  }
  static string Caught(Action call) {
    try { call(); return "\"nothing\""; }
    catch (FaultException<SyncFault> fault) { return "[" + Json(fault.Detail.code) + "," + (fault.Detail.retryable ? "true" : "false") + "]"; }
    catch (Exception other) { return Json(other.GetType().Name + ": " + other.Message); }
  }
  static Binding BindingOf(string name) {
    if (name == "basic") {
      var basic = new BasicHttpBinding(BasicHttpSecurityMode.TransportCredentialOnly); // its quotas as they are
      basic.Security.Transport.ClientCredentialType = HttpClientCredentialType.Basic;
      return basic;
    }
    return new CustomBinding(
      new TextMessageEncodingBindingElement(MessageVersion.Soap12WSAddressing10, System.Text.Encoding.UTF8),
      new HttpTransportBindingElement { AuthenticationScheme = AuthenticationSchemes.Basic });
  }

  static int Main(string[] args) {
    string hub = args[0], binding = args[1], key = args[3];
    terminal = args[2];
    long first = long.Parse(args[4]);
    var factory = new ChannelFactory<ITerminalSync>(BindingOf(binding), new EndpointAddress(hub + "/soap/terminal/" + binding));
    factory.Credentials.UserName.UserName = terminal;
    factory.Credentials.UserName.Password = key;
    var till = factory.CreateChannel();
    var said = new List<string>();
    Action<string, string> say = (name, value) => said.Add(Json(name) + ":" + value);

    say("ping", Json(till.Ping(" h\u00e9llo <&> \r\n\ud83d\ude00 ").text));
    SubmitResult last = null;
    ArrayOfSyncMessage batch = null;
    for (int i = 0; i < 10; i++) {
      batch = List(Enumerable.Range(0, 100).Select(j => Sale(first + i * 100 + j)));
      last = till.SubmitMessages(terminal, batch);
    }
    say("submitted", Counts(last));
    say("resent", Counts(till.SubmitMessages(terminal, batch)));

    var large = Sale(first + 1000);
    large.baseVersion = long.MaxValue; large.payload = new string('x', 8192); large.contentType = "text/plain";
    var control = Sale(first + 1001);
    control.payload = "a\u0001b"; // .NET writes &#x1;, which is no XML
    var empty = Sale(first + 1002);
    empty.payload = null; empty.payloadBytes = new byte[] { 0, 255 };
    var odd = till.SubmitMessages(terminal, List(new[] { large, control, empty }));
    say("odd", Counts(odd));
    say("rejected", "[" + string.Join(",", odd.rejected.Select(each => "[" + each.sequence + "," + Json(each.code) + "," + (each.retryable ? "true" : "false") + "]")) + "]");

    say("noList", Caught(() => till.SubmitMessages(terminal, null)));
    say("another", Caught(() => till.GetStatus("somebody-else")));
    say("badCursor", Caught(() => till.PullUpdates(terminal, "x", 1, 0)));

    var keys = new List<string>();
    var longest = 0;
    for (UpdateBatch updates = null; updates == null || updates.hasMore;) {
      updates = till.PullUpdates(terminal, null, 2, 0);
      keys.AddRange(updates.updates.Select(each => each.key));
      longest = Math.Max(longest, updates.updates.Select(each => each.payload.Length).DefaultIfEmpty(0).Max());
      if (updates.updates.Count == 0) continue;
      var results = new ArrayOfUpdateResult();
      results.AddRange(updates.updates.Select(each => new UpdateResult { updateId = each.updateId, status = UpdateOutcome.Applied }));
      till.AcknowledgeUpdates(terminal, updates.batchId, results);
    }
    say("pulled", "[" + string.Join(",", keys.Select(Json)) + "]");
    say("longest", longest.ToString());
    var status = till.GetStatus(terminal);
    say("status", "[" + Json(status.terminalId) + "," + status.acceptedThrough + "," + status.pendingUpdates + "]");
    Console.WriteLine("{" + string.Join(",", said) + "}");
    return 0;
  }
}
