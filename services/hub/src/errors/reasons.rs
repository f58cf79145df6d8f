//! How commands end, and the reasons of answers by service.

use super::{Section, word};

pub(super) const EXIT_CODES: Section = Section {
    title: "Exit codes",
    intro: "How every `hub` command ends.",
    heading: "code",
    words: &[
        word("0", "done", "nothing"),
        word(
            "1",
            "tried and failed, or the answer is no: views differ, a bundle is refuted, a line of a file is broken, `hub doctor` found a fault",
            "read the line; what was done before it stands",
        ),
        word(
            "2",
            "the command line or the configuration is wrong; nothing was tried",
            "correct what the line names; `hub COMMAND --help`, `hub config explain`",
        ),
        word("3", "the hub answered and refused", "look the `reason` up below"),
        word(
            "4",
            "the hub did not answer, or the connection broke",
            "check that it runs (`/readyz`), `--endpoint`, and the certificates; repeating is safe",
        ),
    ],
};

pub(super) const COMMANDS: Section = Section {
    title: "Reasons of commands",
    intro: "The `reason` of a command's error with `--json`: the command's own, or the gRPC code of the hub's answer.",
    heading: "reason",
    words: &[
        word("failed", "the command was tried and failed on this machine", "what the line says"),
        word("usage", "the command line is wrong", "correct it; `--help` has examples"),
        word(
            "configuration",
            "the configuration file cannot be read or a key in it is wrong",
            "correct the line that is named; `hub config explain` shows every key",
        ),
        word("refused", "the command found out itself that the hub would refuse", "what the line says"),
        word("unreachable", "nobody answers at the address", "start the hub, or correct `--endpoint`"),
        word(
            "unavailable",
            "the connection broke, or the hub cannot answer at present",
            "repeat; if it lasts, look at `/readyz` and the hub's log",
        ),
        word(
            "deadline_exceeded",
            "the answer did not come in time",
            "repeat with a later deadline; `hub status` shows the load",
        ),
        word(
            "unauthenticated",
            "the connection carries no identity",
            "use a certificate of the hub's client authority",
        ),
        word(
            "permission_denied",
            "the policy does not let the caller do this",
            "look the message's reason up under Permits",
        ),
        word("invalid_argument", "the request is malformed", "correct the field that is named"),
        word("not_found", "there is no such thing", "check the key"),
        word("already_exists", "it is there already", "nothing"),
        word("failed_precondition", "something else must be done first", "do what the message names"),
        word("out_of_range", "a message or a number beyond its bound", "send less, or what is within the bound"),
        word("resource_exhausted", "the hub has no room or no turn for it", "wait and repeat; send less at once"),
        word("aborted", "overtaken by something else", "repeat"),
        word("cancelled", "given up by one side", "repeat"),
        word("unimplemented", "the hub has no such method", "use a client of the hub's version"),
        word("internal", "the hub's own fault", "the operator finds the reason in the hub's log"),
        word("data_loss", "the hub found damage", "the operator runs `hub doctor`"),
        word("unknown", "an answer that is none of the hub's", "check what stands between client and hub"),
    ],
};

pub(super) const PERMITS: Section = Section {
    title: "Permits",
    intro: "Decisions of the policy, for every service; each refusal of a question leaves an access entry with this word. Nothing of the subject is told, not even whether it exists.",
    heading: "reason",
    words: &[
        word("purpose_missing", "no procedure code or no case number", "send both; they are the purpose"),
        word(
            "case_malformed",
            "the case number is empty, longer than 128, or holds control characters",
            "send the number of the case as your office writes it",
        ),
        word("fields_missing", "the request lists no fields", "name each attribute that the case needs"),
        word(
            "caller_unknown",
            "no grant covers the certificate's SPIFFE id",
            "ask the operator for a grant; check which certificate is sent",
        ),
        word("procedure_unknown", "no procedure profile has that code", "`hub procedures show` lists the codes"),
        word(
            "kind_unknown",
            "there is no kind of subject by that name",
            "the kinds are `person` and `parcel`, and any that a contract added",
        ),
        word(
            "field_unknown",
            "not an attribute of the kind; over HTTP: not a field of the message",
            "use the names of `hub contracts show`, such as `person.full_name`",
        ),
        word("action_not_granted", "no role of the caller includes this", "ask the operator for a role that does"),
        word(
            "procedure_not_granted",
            "the caller does not serve this procedure",
            "apply for it, or use the portal that serves it",
        ),
        word(
            "kind_not_granted",
            "the caller or the procedure has nothing to do with this kind of subject",
            "ask by another procedure, or apply",
        ),
        word("field_not_in_procedure", "the procedure does not need the field", "ask again without it"),
        word(
            "sensitivity_not_granted",
            "the field's class is not among the caller's",
            "ask again without it, or apply for the class",
        ),
        word(
            "row_outside_scope",
            "the subject is outside the rows that the caller may see, such as another commune's",
            "use the portal that is competent for it",
        ),
        word(
            "publish_not_granted",
            "the caller may not write this record type of this register",
            "check the certificate, or ask the operator for the register",
        ),
        word(
            "policy_failed",
            "a policy could not be evaluated; what cannot be decided is refused",
            "the operator corrects the policy document",
        ),
    ],
};

pub(super) const PUBLISHING: Section = Section {
    title: "Publishing",
    intro: "Reasons of a whole batch. What is wrong with one change is its outcome, see Rules; its neighbours are not harmed. Repeating a batch is always safe.",
    heading: "reason",
    words: &[
        word(
            "no_principal",
            "the connection carries no identity",
            "connect with a client certificate that holds a SPIFFE id",
        ),
        word("field_invalid", "a field of the batch is missing or malformed", "correct the field that is named"),
        word("batch_changes", "more changes than a batch takes", "send smaller batches; 100 to 1,000 changes are best"),
        word("batch_bytes", "more than 8 MiB in one batch", "send smaller batches"),
        word("append_bytes", "the batch is too large for one append of the log", "send smaller batches"),
        word("message_bytes", "a message larger than the server takes", "send smaller messages"),
        word("message_malformed", "the bytes are no message of the method", "send what the `.proto` file says"),
        word("method_unknown", "the hub has no such method or path", "ask its reflection, or `GET /openapi.json`"),
        word(
            "log_full",
            "the disk of the log is full; nothing was written",
            "the operator makes room; publishing goes on by itself",
        ),
        word(
            "log_down",
            "the log takes nothing after a failed write",
            "the operator restarts the hub and looks at the disk; then repeat",
        ),
        word(
            "log_silent",
            "Kafka did not answer in time: the changes may be in the log or not",
            "repeat; what is there already is a duplicate",
        ),
        word("overtaken", "the same change was in another batch that failed", "repeat"),
        word(
            "busy",
            "too many batches wait, and nothing of this one was taken",
            "repeat in a moment, or publish by a stream",
        ),
        word("stopping", "the hub is stopping", "repeat when it runs again"),
        word("not_ingest", "this process takes no changes", "publish to a process with the role ingest"),
        word(
            "register_elsewhere",
            "this process takes changes of other registers",
            "publish to the ingest of your register",
        ),
        word("no_views", "this process keeps no views", "ask one with the role views what became of changes"),
        word("starting", "the refused changes are being read from the log", "repeat in a moment"),
        word(
            "views_unreadable",
            "the views cannot be read",
            "the operator runs `hub doctor` and looks at the hub's log",
        ),
        word("internal", "the hub's own fault", "the operator finds the reason in the hub's log"),
    ],
};

pub(super) const QUERIES: Section = Section {
    title: "Queries",
    intro: "Reasons of `hub.query.v1` besides those of permits.",
    heading: "reason",
    words: &[
        word(
            "no_principal",
            "the connection carries no identity",
            "connect with a client certificate that holds a SPIFFE id",
        ),
        word("field_invalid", "a part of the request is not usable", "correct the field that is named"),
        word("key_missing", "the request names no subject", "send an id or one of the kind's keys"),
        word("key_malformed", "the key is not written as its kind is", "correct it; a personal id has 12 digits"),
        word(
            "key_ambiguous",
            "several subjects answer to the key",
            "ask by another key, or by the id of one of those that are listed",
        ),
        word(
            "key_of_other_kind",
            "the kind has no such key",
            "`person`: personal id, mention, record; `parcel`: parcel id, sheet and number, certificate",
        ),
        word("query_missing", "a search without a query", "say what to search for"),
        word("query_malformed", "a part of the search is not written as it must be", "correct the field that is named"),
        word("query_of_other_kind", "the kind has no such search", "`hub search --help`"),
        word("role_unknown", "the procedure has no role of that name", "`hub procedures show CODE` lists its roles"),
        word("kind_not_in_procedure", "no role of the procedure is of this kind", "watch by a procedure that needs it"),
        word(
            "page_token_malformed",
            "the page token is not one of an answer",
            "send it as it came, with the same request",
        ),
        word("cursor_malformed", "the cursor is not one of a message", "send it as it came, or none to begin anew"),
        word(
            "position_unknown",
            "the log does not have this position",
            "send the position of a receipt or an answer as it came",
        ),
        word(
            "unit_unknown",
            "no unit list has this administrative unit",
            "send code and list version as `hub units list` shows them",
        ),
        word("time_malformed", "the time is out of range", "send seconds since 1970 and nanoseconds"),
        word("access_unknown", "there is no such access", "send the place of an access entry as an answer gives it"),
        word(
            "cursor_forgotten",
            "the reason of a reset: the hub does not remember the changes since the cursor any more",
            "nothing: the watch tells all of its subjects anew",
        ),
        word(
            "cursor_of_another_model",
            "the reason of a reset: the cursor is of views on another basis",
            "nothing: the watch tells all of its subjects anew",
        ),
        word("views_behind", "the views have not folded as far as was asked", "ask again, or with a later deadline"),
        word("past_being_folded", "the views of a past cut are being folded", "ask again in a while"),
        word("fold_stopped", "the views take nothing in", "the operator finds the reason in the hub's log"),
        word("busy", "too many questions wait", "ask again in a moment"),
        word(
            "access_not_recorded",
            "the access entry could not be written, so nothing is answered",
            "ask again; the operator looks at the log's disk",
        ),
        word(
            "accesses_unreadable",
            "the access records cannot be read",
            "the operator finds the reason in the hub's log",
        ),
        word(
            "views_unreadable",
            "the views cannot be read",
            "the operator runs `hub doctor` and looks at the hub's log",
        ),
        word("log_unreadable", "an entry of the log cannot be read", "the operator runs `hub doctor`"),
        word(
            "heads_not_sorted",
            "a record of a comparison does not come after the one before it",
            "send ids in the ascending order of their UTF-8 bytes, each once",
        ),
        word(
            "scratch_unusable",
            "the records of a comparison cannot be sorted on the disk",
            "the operator makes room in the data directory",
        ),
        word(
            "history_unreadable",
            "the samples of earlier quality cannot be read",
            "ask without a trend, or tell the operator",
        ),
        word("interrupted", "an erasure goes before a comparison", "compare again in a moment"),
        word("stopping", "the hub is stopping", "go on from the last cursor when it runs again"),
        word("internal", "the hub's own fault", "the operator finds the reason in the hub's log"),
    ],
};

pub(super) const ADMINISTRATION: Section = Section {
    title: "Administration",
    intro: "Reasons of `hub.admin.v1` besides those of permits. Nothing was changed unless it says so.",
    heading: "reason",
    words: &[
        word(
            "no_principal",
            "the connection carries no identity",
            "connect with a client certificate that holds a SPIFFE id",
        ),
        word("reason_missing", "a command that changes something needs a reason", "say why, in 1 to 1,024 bytes"),
        word(
            "contract_invalid",
            "the descriptor set is no contract",
            "correct what is named; `hub contracts check` does it offline",
        ),
        word("register_name", "not a name of a register", "use lower-case letters, digits and `-`"),
        word(
            "contract_incompatible",
            "the new contract breaks what the one in force promises",
            "`hub contracts check` lists every break, see Breaks; add fields instead of changing them",
        ),
        word("register_unknown", "the register has no contract", "`hub contracts list`"),
        word(
            "units_invalid",
            "the unit list is malformed or does not follow the one it names",
            "correct the files; `hub units import --out` checks them offline",
        ),
        word("document_invalid", "the policy or the procedures cannot be used", "correct what is named"),
        word(
            "mention_malformed",
            "not the id of a mention or subject",
            "32 hexadecimal digits, as `hub review list` shows them",
        ),
        word("verdict_missing", "no verdict", "`must`, `cannot`, `unsure` or `undo`"),
        word("one_mention", "left and right are the same", "name two"),
        word("mention_unknown", "no live record has the mention", "`hub review list`"),
        word("other_kind", "a person and a parcel are never one", "name two of one kind"),
        word("nothing_to_undo", "no decision on this pair is in force", "`hub review decisions`"),
        word(
            "decision_contradicted",
            "decisions in force say the opposite; the message has the chain",
            "undo one of them first",
        ),
        word("record_count", "too few or too many records at once", "name as many as the message says"),
        word("record_unknown", "the views hold no such record", "look at its register and id"),
        word("record_erased", "the record is erased already", "nothing"),
        word("key_shared", "the record shares its key with another one, which would be erased with it", "name both"),
        word("erasure_unknown", "no erasure waits under that number", "`hub audit erasures`"),
        word(
            "order_unknown",
            "no order waits under that number",
            "`hub orders --help` tells how those that wait are listed",
        ),
        word(
            "waits_for_approval",
            "the order is written down and waits for a second person; nothing was changed yet",
            "another person approves or rejects it",
        ),
        word("not_parked", "no change that cannot be applied is parked there", "`hub quarantine list`"),
        word("page_token", "the token is of no such list", "send the one that the last answer gave"),
        word("second_person_needed", "whoever asked for an erasure cannot approve it", "another person approves"),
        word(
            "no_keys",
            "bodies are plain: an erasure hides the record and does not remove its bytes",
            "see encryption.md",
        ),
        word("keys_elsewhere", "this process holds the keys in memory only", "ask a process with the role audit"),
        word(
            "keys_unwritable",
            "the order stands; its key is not destroyed yet",
            "mend the disk of `keys/`; the next start finishes it",
        ),
        word("store_unknown", "not a kind of store", "`fjall` or `sled`"),
        word("nothing_prepared", "no views are prepared", "prepare some first"),
        word("prepared_already", "other views are being prepared", "wait for them, or `hub views discard`"),
        word("not_level", "the prepared views have not caught up", "wait; `hub status` shows how far they are"),
        word(
            "views_differ",
            "the prepared views should be equal and are not",
            "keep both, and tell the makers with `hub views diff`",
        ),
        word("nothing_kept", "no former views are kept", "rebuild instead"),
        word("basis_unknown", "a model or an epoch that the log does not have", "`hub link epoch list`"),
        word("prepare_failed", "folding the prepared views failed", "the operator finds the reason in the hub's log"),
        word("share_range", "not a share", "1 to 100 percent, or 0 for the default"),
        word(
            "difference_not_read",
            "no difference with that digest was told by this process",
            "`hub views diff --previous`, read it, and give the digest of this program",
        ),
        word("redo_not_open", "the register is not being restated", "`hub register redo` first"),
        word("not_prepared", "views on this basis are not prepared", "prepare them first"),
        word(
            "other_basis",
            "the prepared views are on another basis",
            "switch the model or commit the redo that they are for",
        ),
        word(
            "much_removed",
            "more records would go than is allowed",
            "read the difference; then confirm or raise the share",
        ),
        word("nothing_to_learn", "the views hold too few pairs to learn from", "publish more registers first"),
        word("never_switched", "no linkage model was ever switched", "nothing to go back to"),
        word("model_invalid", "the linkage model cannot be used", "correct what is named"),
        word("verification_running", "another verification is running", "wait for its end"),
        word("verification_failed", "the verification could not be carried out", "what the message says; `hub doctor`"),
        word(
            "order_void",
            "the order is in the log, without effect: another came before it",
            "look at the state, then order again",
        ),
        word(
            "signing_key_files",
            "the files of the signing key cannot be used",
            "the operator mends what is named; the next start finishes the rotation",
        ),
        word("views_unreadable", "the views cannot be read", "the operator runs `hub doctor`"),
        word("log_down", "the order was not written", "look at the log's disk or brokers; then repeat"),
        word("log_unreadable", "an entry of the log cannot be read", "the operator runs `hub doctor`"),
        word("fold_stopped", "the views take nothing in", "the operator finds the reason in the hub's log"),
        word("catching_up", "the views are still being folded", "`hub status` shows how far; repeating is safe"),
        word("stopping", "the hub is stopping", "repeat when it runs again"),
        word("internal", "the hub's own fault", "the operator finds the reason in its log"),
    ],
};

pub(super) const AUDITS: Section = Section {
    title: "Audits",
    intro: "Reasons of `hub.audit.v1` besides those of permits.",
    heading: "reason",
    words: &[
        word(
            "no_principal",
            "the connection carries no identity",
            "connect with a client certificate that holds a SPIFFE id",
        ),
        word("field_invalid", "a part of the request is not usable", "correct the field that is named"),
        word(
            "not_found",
            "the log has no such entry, record or access",
            "check what was named; ids are those of this log",
        ),
        word("not_covered", "no checkpoint covers the entry yet", "ask again in a second or two"),
        word(
            "ledger_stopped",
            "the ledger does not follow the log any more",
            "`hub audit status` says why; the operator looks at its disk",
        ),
        word("no_checkpoint", "nothing was signed yet", "ask again in a second or two"),
        word("too_much", "the bundle would hold too many entries", "prove fewer records at once"),
        word(
            "other_answer",
            "the answer is not the one that the access entry has",
            "send the answer byte by byte as it was received",
        ),
        word(
            "nothing_answered",
            "the access was refused: there is no answer to prove",
            "prove the entry by its position instead",
        ),
        word(
            "receipt_contradicted",
            "the receipt is signed by this hub, and the log has another entry in its place",
            "keep the receipt: it is evidence; `hub audit verify`",
        ),
        word("verification_running", "another verification is running", "wait for its end"),
        word("log_unreadable", "an entry of the log cannot be read", "the operator runs `hub doctor`"),
        word(
            "log_down",
            "the access entry could not be written, so nothing is disclosed",
            "look at the log's disk; then repeat",
        ),
        word("stopping", "the hub is stopping", "repeat when it runs again"),
        word("internal", "the hub's own fault", "the operator finds the reason in its log"),
    ],
};

pub(super) const HTTP: Section = Section {
    title: "HTTP",
    intro: "Reasons of requests that no service saw ([http](http.md)).",
    heading: "reason",
    words: &[
        word("method_unknown", "there is no such path", "`GET /openapi.json` lists those that there are"),
        word("verb_not_allowed", "the path takes another verb; `Allow` names it", "send that"),
        word("content_type", "the body is not of a type that is taken", "send `Content-Type: application/json`"),
        word("grpc_only", "the method takes a stream", "call it by gRPC, or its unary twin"),
        word("grpc_needs_http2", "gRPC over HTTP/1.1", "offer h2 in the handshake, or send JSON"),
        word("message_bytes", "the body is larger than `http.body_bytes_max`", "send less at once"),
        word("body_timeout", "the body did not come within `http.body_timeout_ms`", "send it again"),
        word("message_malformed", "the body is no JSON, or broke off", "send one JSON object"),
        word("timeout_malformed", "`Connect-Timeout-Ms` is no number", "send digits"),
        word("field_unknown", "the message has no such field", "look at the OpenAPI description"),
        word("field_malformed", "the field has another type", "look at the OpenAPI description"),
        word("internal", "the answer cannot be shown as JSON", "the operator finds the reason in the hub's log"),
    ],
};

pub(super) const CERTIFICATES: Section = Section {
    title: "Certificates",
    intro: "Reasons why a connection was not let in. They stand in the hub's log and metrics; the peer sees one TLS alert for all of them.",
    heading: "reason",
    words: &[
        word("no_certificate", "the peer sent none", "give the client its certificate and key"),
        word("expired", "the certificate has ended", "have it renewed"),
        word("not_yet_valid", "its validity has not begun", "check both clocks"),
        word("revoked", "its authority has taken it back (`tls.revoked`)", "have another one issued"),
        word(
            "revocation_unknown",
            "the authority's list in `tls.revoked` is absent or has passed its end",
            "the operator fetches the authority's list of today and restarts the hub",
        ),
        word(
            "unknown_issuer",
            "it does not lead to the authority in `tls.client_ca`",
            "have it issued by that authority; send intermediates along",
        ),
        word(
            "wrong_usage",
            "its usages do not allow client authentication, or it is an authority's",
            "have it issued for `clientAuth` with `digitalSignature`",
        ),
        word(
            "bad_signature",
            "a signature does not verify, or uses an algorithm that is not taken",
            "have it issued with ECDSA P-256/P-384, Ed25519 or RSA-PSS/SHA-256",
        ),
        word("malformed", "it cannot be read, or has an unknown critical extension", "have it issued anew"),
        word("no_uri_name", "no URI among its names", "have it issued with the caller's SPIFFE id as URI name"),
        word("several_uri_names", "more than one URI among its names", "a SPIFFE certificate has exactly one"),
        word("not_spiffe", "the URI's scheme is not `spiffe`", "have it issued with a SPIFFE id"),
        word(
            "other_trust_domain",
            "the id is of another trust domain than `trust_domain`",
            "use a certificate of the hub's trust domain",
        ),
        word(
            "malformed_spiffe_id",
            "the id is too long, has no path, or holds characters that SPIFFE does not allow",
            "have it issued with a well-formed id",
        ),
        word("not_verified", "refused for another reason", "the hub's log has it"),
    ],
};
