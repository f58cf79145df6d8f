import build.buf.protovalidate.Validator;
import build.buf.protovalidate.ValidatorFactory;
import build.buf.validate.FieldPath;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import com.google.protobuf.util.Timestamps;
import hub.contract.v1.Options;
import hub.ingest.v1.Ingest;
import hub.register.civil.v1.Civil;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.Grpc;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;

/**
 * Publishes record changes of the civil register over gRPC, and checks each with stock protovalidate before it is sent.
 *
 * <p>Arguments: host:port, the folder of certificates, and a file with one change a line, as `hub publish` takes it. Each outcome is
 * printed. The exit code is 0 when the hub judged every change as protovalidate did here, 1 when it did not.
 */
public final class Publisher {
  private static final int BATCH_CHANGES = 100, TRIES = 6;

  private static final MethodDescriptor<Ingest.PublishBatchRequest, Ingest.PublishBatchResponse> PUBLISH_BATCH =
      MethodDescriptor.newBuilder(ProtoUtils.marshaller(Ingest.PublishBatchRequest.getDefaultInstance()),
              ProtoUtils.marshaller(Ingest.PublishBatchResponse.getDefaultInstance()))
          .setType(MethodDescriptor.MethodType.UNARY).setFullMethodName("hub.ingest.v1.IngestService/PublishBatch")
          .build();

  public static void main(String[] args) throws Exception {
    var certs = new File(args[1]);
    var credentials = TlsChannelCredentials.newBuilder().trustManager(new File(certs, "ca.pem"))
        .keyManager(new File(certs, "register-civil.pem"), new File(certs, "register-civil.key")).build();
    var types = recordTypes();
    var changes = new ArrayList<Ingest.Change>();
    var records = new ArrayList<Message>();
    for (String line : Files.readAllLines(Path.of(args[2]))) {
      JsonObject json = JsonParser.parseString(line).getAsJsonObject();
      Message record = record(types.get(json.get("record_type").getAsString()), json.get("record").toString());
      changes.add(change(json, record));
      records.add(record);
    }
    var channel = Grpc.newChannelBuilder(args[0], credentials).build();
    int differing = 0;
    try {
      var validator = ValidatorFactory.newBuilder().build();
      for (int start = 0; start < changes.size(); start += BATCH_CHANGES) {
        var batch = changes.subList(start, Math.min(start + BATCH_CHANGES, changes.size()));
        var outcomes = publish(channel, start, batch).getOutcomesList();
        for (int at = 0; at < batch.size(); at++) {
          var mine = brokenRules(validator, records.get(start + at));
          if (!agrees(batch.get(at).getRecordId(), outcomes.get(at), mine)) {
            differing++;
            System.err.println("  protovalidate says otherwise: " + mine);
          }
        }
      }
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
    System.out.printf("%d changes, %d judged otherwise by protovalidate%n", changes.size(), differing);
    System.exit(differing == 0 ? 0 : 1);
  }

  /** The messages of the contract by the names that the hub knows them by. */
  private static HashMap<String, Descriptor> recordTypes() {
    var types = new HashMap<String, Descriptor>();
    for (Descriptor type : Civil.getDescriptor().getMessageTypes()) {
      types.put(type.getOptions().getExtension(Options.recordType).getName(), type);
    }
    return types;
  }

  private static Message record(Descriptor type, String json) throws Exception {
    var record = DynamicMessage.newBuilder(type);
    JsonFormat.parser().merge(json, record);
    return record.build();
  }

  private static Ingest.Change change(JsonObject json, Message record) throws Exception {
    return Ingest.Change.newBuilder()
        .setRecordId(json.get("record_id").getAsString()).setVersion(json.get("version").getAsLong())
        .setOperation(Ingest.Operation.OPERATION_UPSERT).setRecordType(json.get("record_type").getAsString())
        .setEffectiveAt(Timestamps.parse(json.get("effective_at").getAsString()))
        .setRegisteredAt(Timestamps.parse(json.get("registered_at").getAsString()))
        .setPayload(record.toByteString()).build();
  }

  /** The outcome of each change. What breaks off is sent again: the hub knows what it has. */
  private static Ingest.BatchResult publish(Channel hub, long sequence, List<Ingest.Change> changes) throws Exception {
    var batch = Ingest.Batch.newBuilder().setSequence(sequence).setRegister("civil").addAllChanges(changes)
        .setPublishedAt(Timestamps.fromMillis(Instant.now().toEpochMilli()));
    var request = Ingest.PublishBatchRequest.newBuilder().setBatch(batch).build();
    for (int attempt = 0; ; attempt++) {
      try {
        var options = CallOptions.DEFAULT.withDeadlineAfter(60, TimeUnit.SECONDS);
        return ClientCalls.blockingUnaryCall(hub, PUBLISH_BATCH, options, request).getResult();
      } catch (StatusRuntimeException error) {
        if (error.getStatus().getCode() != io.grpc.Status.Code.UNAVAILABLE || attempt + 1 == TRIES) throw error;
        Thread.sleep(500L << attempt);
      }
    }
  }

  /** What stock protovalidate says: "field: rule" of each rule that the record breaks. */
  private static TreeSet<String> brokenRules(Validator validator, Message record) throws Exception {
    var broken = new TreeSet<String>();
    for (var violation : validator.validate(record).getViolations()) {
      broken.add(path(violation.toProto().getField()) + ": " + violation.toProto().getRuleId());
    }
    return broken;
  }

  private static String path(FieldPath path) {
    var names = new ArrayList<String>();
    for (var element : path.getElementsList()) {
      names.add(element.getFieldName() + (element.hasIndex() ? "[" + element.getIndex() + "]" : ""));
    }
    return String.join(".", names);
  }

  /** Prints what the hub says, and tells whether protovalidate said so too. The hub's own rules, "hub.…", it cannot know. */
  private static boolean agrees(String recordId, Ingest.Outcome outcome, TreeSet<String> mine) {
    var said = new TreeSet<String>();
    var broken = outcome.hasRejected() ? outcome.getRejected().getViolationsList() : outcome.getAccepted().getFindingsList();
    for (var violation : broken) {
      if (!violation.getRuleId().startsWith("hub.")) said.add(violation.getFieldPath() + ": " + violation.getRuleId());
    }
    System.out.println(recordId + ": " + outcome.getOutcomeCase().name().toLowerCase() + " " + String.join(", ", said));
    return outcome.hasDuplicate() || said.equals(mine);
  }
}
