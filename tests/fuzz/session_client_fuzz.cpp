// Fuzzes a session from the client's side: any bytes, in pieces, towards a server that answers everything as if it
// had understood it. What reaches the server must be whole, legal messages; what comes back must be whole messages;
// memory grows with the input, never faster. The first byte chooses mode and sizes, the second how the server fails.

#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/session/session.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

using namespace pgsteady;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

/// Takes whole frames off the front of `stream`.
template <class Take>
void each_frame(std::string& stream, Take take) {
    std::size_t at = 0;
    while (true) {
        const frame_header header = read_frame_header(std::string_view(stream).substr(at));
        check(header.state != frame_header::status::malformed);
        if (header.state == frame_header::status::need_more || stream.size() - at < header.total) break;
        take(header.type, std::string_view(stream).substr(at + frame_header_size, header.total - frame_header_size));
        at += header.total;
    }
    stream.erase(0, at);
}

void put(std::string& out, char type, std::string_view body = {}) {
    const frame_builder frame(out, type);
    out += body;
}

/// Answers every message as a server would that finds nothing wrong with it; `fails`: the nth with an error.
struct obliging_server {
    std::string in;
    std::string out;
    std::uint32_t until_error;
    bool skipping = false;
    bool copying = false;

    void feed(std::string_view bytes) {
        in += bytes;
        each_frame(in, [this](char type, std::string_view body) { answer(type, body); });
    }
    void answer(char type, std::string_view body) {
        check(std::string_view("QPBDECSHFdcfX").find(type) != std::string_view::npos);
        if (type == 'S') skipping = false;
        if (skipping || type == 'H' || type == 'd' || type == 'c' || type == 'f') return;
        if (type != 'S' && until_error > 0 && --until_error == 0) {
            put(out, 'E', std::string_view("SERROR\0VERROR\0C22012\0Mno\0\0", 27));
            if (type == 'Q' || type == 'F') put(out, 'Z', "I");
            else skipping = true;
            return;
        }
        switch (type) {
            case 'P': return put(out, '1');
            case 'B': return put(out, '2');
            case 'C': return put(out, '3');
            case 'D': return put(out, 'n');
            case 'E': return put(out, 'C', std::string_view("SET\0", 4));
            case 'F': put(out, 'V', std::string_view("\0\0\0\0", 4)); break;
            case 'Q':
                check(!body.empty() && body.back() == '\0');
                put(out, 'C', std::string_view("SET\0", 4));
                break;
            default: break;
        }
        put(out, 'Z', "I");
    }
};

struct world {
    world(session_mode mode, std::uint32_t until_error) : tables(0) {
        facts.mode = mode;
        facts.prepared_bytes = 2'000;
        facts.keep_bytes = 500;
        server.until_error = 0;
        renew();
        talk = std::make_unique<session>(tables, facts, 1, "key");
        talk->begin({});
        settle();
        server.until_error = until_error;
        check(talk->ready());
    }

    void renew() {
        link = server_link();
        link.applied = tables.settings.none();
        link.reported = tables.reported.of({{"TimeZone", "UTC"}});
        server = obliging_server{{}, {}, server.until_error};
    }

    void flush() {
        const std::string bytes = tables.to_server.str();
        to_client += tables.to_client.str();
        tables.to_server.clear();
        tables.to_client.clear();
        each_frame(to_client, [this](char, std::string_view) { check(!silent); });
        if (bytes.empty()) return;
        check(attached);
        forwarded += bytes.size();
        server.feed(bytes);
    }

    void act() {
        const session_actions asked = talk->take_actions();
        if (asked.give_back != session_actions::release::no) {
            check(attached);
            attached = false;
            if (asked.give_back == session_actions::release::reuse) {
                check(link.at_rest() && server.out.empty() && server.in.empty());
            } else {
                renew();
            }
        }
        if (asked.close_client) {
            closed = silent = true;
            if (!attached) return;
            talk->on_client_gone();
            (void)talk->take_actions();
            attached = false;
        } else if (asked.want_server) {
            check(!attached);
            attached = true;
            talk->on_server(link);
            flush();
        }
    }

    void settle() {
        for (bool moved = true; moved && !closed;) {
            flush();
            act();
            if (closed) return;
            moved = false;
            if (!unread.empty()) {
                const std::size_t used = talk->on_client_bytes(unread);
                check(used <= unread.size());
                flush();
                unread.erase(0, used);
                moved = used > 0;
                const bool had = attached;
                act();
                moved |= attached && !had;
            }
            if (closed || !attached || server.out.empty()) continue;
            const std::string said = std::exchange(server.out, {});
            check(talk->on_server_bytes(said) == said.size() || talk->ended());
            flush();
            moved = true;
        }
    }

    session_tables tables;
    pool_facts facts;
    server_link link;
    obliging_server server;
    std::unique_ptr<session> talk;
    std::string unread;
    std::string to_client;
    std::size_t forwarded = 0;
    bool attached = false;
    bool closed = false;
    bool silent = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2 || size > 100'000) return 0;
    constexpr std::size_t pieces[] = {1, 5, 100, 1'000'000};
    const std::size_t piece = pieces[data[0] >> 6];
    if (piece == 1 && size > 2'000) return 0;
    world all(static_cast<session_mode>(data[0] % 3), data[1]);
    const std::string_view in(reinterpret_cast<const char*>(data) + 2, size - 2);
    for (std::size_t at = 0; at < in.size() && !all.closed; at += piece) {
        all.unread += in.substr(at, piece);
        all.settle();
    }
    // A message of five bytes can cause a re-Parse of everything it names, and no more.
    check(all.forwarded <= 10'000 + (in.size() + 100) * (in.size() + 100));
    if (!all.closed && all.attached && (data[0] & 0x04) != 0) {
        all.talk->on_server_lost("gone", "fuzz");
        all.flush();
        all.act();
    }
    if (!all.closed) all.talk->on_client_gone();
    return 0;
}
