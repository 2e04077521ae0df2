// Answers that are continued: the request whose server died after a part of its answer was delivered is sent again; what the
// client has is swallowed if it comes again exactly, and what follows is shown (recovery.md 2.3, phases D, F, K). What is kept
// of it is a digest and two counts, never a row. Answers within transactions are hashed from their beginning, for their
// replay; all others from when a part of them is delivered, so small ones, which are whole or held, are not at all (D42).
// Never continued: another answer, one that was cut within a row, or on a standby what a primary began (T14). See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/session.hpp"

namespace pgsteady {

// ------------------------------------------------------------------------------------------ what was delivered

/// Adds to the answer's digest. True: the client has not had these bytes yet.
bool session::counts(std::string_view bytes) {
    if (!digesting_) return !muted_;
    response_digest& answer = link_->journal.answer();
    answer.add(bytes);
    return goes_on();
}

/// What has an error in it is never delivered in part: where one comes before what was delivered has ended, it is another.
bool session::shows_error(std::string_view sqlstate) {
    if (!digesting_) return !muted_;
    if (resuming_) {
        differs_ = true;
        error_in_request_ = false;  // the client is told something else
        return false;
    }
    link_->journal.answer().add_error(sqlstate);
    return !muted_;
}

/// What was delivered before has to come again exactly, and to end where a frame ends.
bool session::goes_on() {
    if (!resuming_ || differs_) return !muted_;
    response_digest& answer = link_->journal.answer();
    if (answer.bytes() < extra_->resumed.bytes) return false;
    differs_ = answer.value() != extra_->resumed;
    if (differs_) return false;
    resuming_ = muted_ = false;
    ++seldom().resumes;
    return false;
}

/// The output from complete_at_ on is the beginning of an answer, and goes to the client.
void session::note_delivered() {
    delivered_ = true;
    if (digesting_ || !pool_.replays || !pool_.recovers || error_in_request_ || link_->transaction_status != 'I')
        return;
    following_ = digesting_ = true;
    link_->journal.answer().begin();
    tables_.to_client.for_each_piece(complete_at_, [this](std::string_view piece) { follow(piece); });
}

/// Whole frames that go to the client; the last of an event may be the beginning of one.
void session::follow(std::string_view shown) {
    while (!shown.empty() && following_) {
        const frame_header header = read_frame_header(shown);
        if (header.state != frame_header::status::ok) return stop_following();
        const std::string_view frame = shown.substr(0, header.total);
        if (!is_asynchronous(header.type)) link_->journal.answer().add(frame);
        shown.remove_prefix(frame.size());
    }
    link_->journal.answer().settle();
}

void session::stop_following() {
    if (!following_) return;
    following_ = digesting_ = false;
    link_->journal.answer().begin();
}

// ------------------------------------------------------------------------------------------ what comes again

/// The request that is taken next has been answered in part.
bool session::resumes_next() const {
    return redoing_ && extra_->redos.front().resumes && !extra_->redos.front().decided;
}

/// False: not before there is a server that has answered all else, and has the client's settings.
bool session::begin_resume(redo& front) {
    if (link_ == nullptr || !link_->tracker.empty() || !ready_to_send() || !link_->tracker.empty()) return false;
    delivered_ = true;
    resuming_ = muted_ = extra_->resumed.bytes > 0;  // it may have been a notice alone
    // What begins a transaction is hashed from BEGIN's tag on.
    if (front.fate != request_fate::again_in_block) following_ = digesting_ = true;
    link_->journal.answer().begin();
    front.decided = true;
    return true;
}

/// What the client says after the request is not taken before its answer is known to be the same: a Sync would commit.
bool session::holds_back_behind_resume() const { return resuming_ && !(redoing_ && extra_->redos.front().decided); }

/// All that was asked again is answered, and it is less than the client has.
void session::notice_short_answer() {
    if (link_ != nullptr && link_->tracker.empty() && holds_back_behind_resume()) fail_resume();
}

/// At a loss, of the request that is answered in part: what the client has of it.
void session::note_resumed() {
    extra& e = more();
    if (resuming_) return;
    e.resumed = link_->journal.answer().value();
    e.resumed_rows = rows_;
    e.resumed_from_standby = link_->standby;
}

/// The answer is another than the one of which the client has the beginning.
void session::fail_resume() {
    ++seldom().resumes_different;
    const std::string incident = incident_of("an answer that was to be continued is another now");
    if (!following_) more().told_why = client_errors::replay_differed(link_->journal.answers().size() + 1, incident);
    link_->frame_left = 0;
    on_server_lost("it answered otherwise when it was asked again", incident);
}

/// What comes next waits in vain, or could only be served by a standby. False: it is no answer to be continued.
bool session::refuse_resume() {
    if (!resumes_next()) return false;
    redo& front = extra_->redos.front();
    if (front.fate != request_fate::again && front.fate != request_fate::again_read) return false;
    front.fate = request_fate::result_lost;
    front.resumes = false;
    front.why = std::move(extra_->unresumed);
    const std::string& code = front.why.sqlstate;
    ++seldom().lost[code == sqlstate::connection_failure ? 1 : code == sqlstate::serialization_failure ? 0 : 3];
    ++seldom().resumes_failed;
    return true;
}

}  // namespace pgsteady
