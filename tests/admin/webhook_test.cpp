// The webhook over real sockets: tries again, gives up, never grows, and never says its address.
#include "admin/webhook.hpp"

#include "tests/support/tls_fixture.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace pgsteady;
using namespace pgsteady::admin;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

constexpr webhook::pauses soon{1ms, 1ms, 1ms};

/// Answers one connection after the other with the next of its statuses; keeps what it was sent. 0: says nothing.
class receiver {
public:
    explicit receiver(std::vector<unsigned> statuses)
        : fd_(::socket(AF_INET, SOCK_STREAM, 0)), statuses_(std::move(statuses)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&at), size) == 0);
        REQUIRE(::listen(fd_, 10) == 0);
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
        port_ = ntohs(at.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~receiver() {
        ::shutdown(fd_, SHUT_RDWR);
        thread_.join();
        ::close(fd_);
    }
    receiver(const receiver&) = delete;
    receiver& operator=(const receiver&) = delete;

    [[nodiscard]] std::string address() const {
        return "http://127.0.0.1:" + std::to_string(port_) + "/hook?key=address-secret";
    }
    [[nodiscard]] std::vector<std::string> got() {
        const std::lock_guard lock(mutex_);
        return got_;
    }

private:
    void serve() {
        for (const unsigned status : statuses_) {
            const int client = ::accept(fd_, nullptr, nullptr);
            if (client < 0) return;
            std::string request;
            char bytes[4096];
            while (request.find("\"end\"}") == std::string::npos) {
                const ssize_t count = ::recv(client, bytes, sizeof bytes, 0);
                if (count <= 0) break;
                request.append(bytes, static_cast<std::size_t>(count));
            }
            {
                const std::lock_guard lock(mutex_);
                got_.push_back(request);
            }
            const std::string answer = "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: 0\r\n\r\n";
            if (status != 0) (void)::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
            else (void)::recv(client, bytes, sizeof bytes, 0);  // until the other side gives up
            ::close(client);
        }
    }

    int fd_;
    std::vector<unsigned> statuses_;
    std::uint16_t port_ = 0;
    std::mutex mutex_;
    std::vector<std::string> got_;
    std::thread thread_;
};

/// Speaks TLS with `how` to four connections, one after the other, and counts the messages that it is told.
class tls_receiver {
public:
    explicit tls_receiver(const test::tls_fixture::identity& how) : context_(asio::ssl::context::tls_server) {
        context_.use_certificate_chain_file(how.certificate_file);
        context_.use_private_key_file(how.key_file, asio::ssl::context::pem);
        thread_ = std::thread([this] { serve(); });
    }
    ~tls_receiver() {
        ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
        thread_.join();
    }
    tls_receiver(const tls_receiver&) = delete;
    tls_receiver& operator=(const tls_receiver&) = delete;

    [[nodiscard]] std::string address(const std::string& host) const {
        return "https://" + host + ':' + std::to_string(acceptor_.local_endpoint().port()) + "/";
    }
    [[nodiscard]] int told() const { return told_; }

private:
    void serve() {
        for (;;) {
            asio::ssl::stream<asio::ip::tcp::socket> client(loop_, context_);
            boost::system::error_code lost;
            acceptor_.accept(client.next_layer(), lost);
            if (lost) return;
            std::string request;
            client.handshake(asio::ssl::stream_base::server, lost);
            if (lost) continue;
            asio::read_until(client, asio::dynamic_buffer(request), "\"end\"}", lost);
            if (lost) continue;
            ++told_;
            asio::write(client, asio::buffer(std::string_view("HTTP/1.1 204 X\r\n\r\n")), lost);
        }
    }

    asio::io_context loop_;
    asio::ssl::context context_;
    asio::ip::tcp::acceptor acceptor_{loop_, {asio::ip::make_address("127.0.0.1"), 0}};
    std::atomic<int> told_ = 0;
    std::thread thread_;
};

struct told {
    boost::asio::io_context loop{1};
    std::string warnings;
    webhook hook{loop, [this](const std::string& line) { warnings += line + '\n'; }, soon};
    ~told() {
        hook.close();
        loop.restart();
        loop.run();
    }
};

}  // namespace

TEST_CASE("A message arrives once, as JSON, at the path of the address") {
    receiver at({204});
    told one;
    one.hook.follow({at.address(), 5s});
    one.hook.tell(R"({"what": "end"})");
    one.loop.run();
    REQUIRE(at.got().size() == 1);
    CHECK(at.got()[0].starts_with("POST /hook?key=address-secret HTTP/1.1\r\n"));
    CHECK(at.got()[0].find("\r\nContent-Type: application/json\r\n") != std::string::npos);
    CHECK(at.got()[0].ends_with("\r\n\r\n{\"what\": \"end\"}"));
    CHECK(one.hook.counts().delivered == 1);
    CHECK(one.warnings.empty());
}

TEST_CASE("What is refused is tried again, and messages keep their order") {
    receiver at({500, 302, 200, 200});
    told one;
    one.hook.follow({at.address(), 5s});
    one.hook.tell(R"({"first": "end"})");
    one.hook.tell(R"({"second": "end"})");
    one.loop.run();
    REQUIRE(at.got().size() == 4);
    CHECK(at.got()[2].find("first") != std::string::npos);
    CHECK(at.got()[3].find("second") != std::string::npos);
    CHECK(one.hook.counts().delivered == 2);
    CHECK(one.hook.counts().failed == 0);
}

TEST_CASE("After four tries a message is given up with a warning that does not hold the address") {
    receiver at({500, 500, 0, 500});
    told one;
    one.hook.follow({at.address(), 200ms});
    one.hook.tell(R"({"what": "end"})");
    one.loop.run();
    CHECK(at.got().size() == 4);
    CHECK(one.hook.counts().failed == 1);
    CHECK(one.warnings.find("it answered 500") != std::string::npos);
    CHECK(one.warnings.find("address-secret") == std::string::npos);
}

TEST_CASE("A receiver that is not there fails, and the next message is told all the same") {
    std::string address;
    { address = receiver({}).address(); }
    told one;
    one.hook.follow({address, 1s});
    one.hook.tell(R"({"what": "end"})");
    one.loop.run();
    CHECK(one.hook.counts().failed == 1);
    receiver at({200});
    one.hook.follow({at.address(), 5s});
    one.hook.tell(R"({"what": "end"})");
    one.loop.restart();
    one.loop.run();
    CHECK(one.hook.counts().delivered == 1);
}

TEST_CASE("What waits is bounded; without an address nothing waits") {
    told one;
    one.hook.follow({"http://127.0.0.1:1/", 1s});
    for (std::size_t i = 0; i < webhook::most_queued + 25; ++i) one.hook.tell("{}");
    CHECK(one.hook.counts().dropped == 25);
    one.hook.follow({});
    one.hook.tell("{}");
    one.loop.run();
    CHECK(one.hook.counts().delivered + one.hook.counts().failed == 0);
}

TEST_CASE("https is verified: a receiver that speaks no TLS is told nothing") {
    receiver at({200, 200, 200, 200});
    told one;
    std::string address = at.address();
    one.hook.follow({"https" + address.substr(4), 300ms});
    one.hook.tell(R"({"what": "end"})");
    one.loop.run();
    CHECK(one.hook.counts().failed == 1);
    for (const std::string& each : at.got()) CHECK(each.find("end") == std::string::npos);
    CHECK(one.warnings.find("TLS") != std::string::npos);
}

TEST_CASE("https is verified: a receiver is told only under its own name and by whom the authority vouches for") {
    test::tls_fixture made;
    const struct {
        std::string authority, name;
        bool delivered;
    } cases[] = {{made.ca_file(), "DNS:localhost", true},
                 {made.ca_file(), "DNS:elsewhere.example", false},
                 {made.other_ca_file(), "DNS:localhost", false}};
    for (const auto& each : cases) {
        CAPTURE(each.authority);
        CAPTURE(each.name);
        ::setenv("SSL_CERT_FILE", each.authority.c_str(), 1);
        tls_receiver at(made.issue({.common_name = "someone", .alternative_names = each.name}));
        told one;
        one.hook.follow({at.address("localhost"), 5s});
        one.hook.tell(R"({"what": "end"})");
        one.loop.run();
        CHECK(at.told() == (each.delivered ? 1 : 0));
        CHECK(one.hook.counts().delivered == (each.delivered ? 1 : 0));
        CHECK((one.warnings.find("TLS: certificate verify failed") != std::string::npos) == !each.delivered);
    }
    ::unsetenv("SSL_CERT_FILE");
}
