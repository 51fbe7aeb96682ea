// Words of an inline command, quoted as in redis-cli.

#include "request.hpp"

namespace kv {

namespace {

bool blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Vertical tabs and form feeds are blanks between words, but do not end one.
bool ends_word(char c) {
    return blank(c) && c != '\v' && c != '\f';
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

char escaped(char c) {
    switch (c) {
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        case 'b':
            return '\b';
        case 'a':
            return '\a';
        default:
            return c;
    }
}

class splitter {
public:
    splitter(std::string_view line, std::string& out) : line_(line), out_(out) {}

    void skip_blanks() {
        while (!at_end() && blank(line_[at_])) ++at_;
    }
    bool at_end() const { return at_ == line_.size(); }

    bool word() {
        while (!at_end() && !ends_word(line_[at_])) {
            const char c = line_[at_++];
            if (c == '"' || c == '\'') {
                if (!(c == '"' ? double_quoted() : single_quoted())) return false;
                // A closing quote must end its word.
                return at_end() || blank(line_[at_]);
            }
            out_.push_back(c);
        }
        return true;
    }

private:
    bool double_quoted() {
        while (!at_end()) {
            const char c = line_[at_++];
            if (c == '"') return true;
            if (c != '\\' || at_end()) {
                out_.push_back(c);
            } else if (!hex_escape()) {
                out_.push_back(escaped(line_[at_++]));
            }
        }
        return false;
    }

    bool hex_escape() {
        if (line_.size() - at_ < 3 || line_[at_] != 'x') return false;
        const int high = hex_digit(line_[at_ + 1]);
        const int low = hex_digit(line_[at_ + 2]);
        if (high < 0 || low < 0) return false;
        out_.push_back(static_cast<char>(high * 16 + low));
        at_ += 3;
        return true;
    }

    bool single_quoted() {
        while (!at_end()) {
            const char c = line_[at_++];
            if (c == '\'') return true;
            if (c == '\\' && !at_end() && line_[at_] == '\'') {
                out_.push_back('\'');
                ++at_;
            } else {
                out_.push_back(c);
            }
        }
        return false;
    }

    std::string_view line_;
    std::string& out_;
    std::size_t at_ = 0;
};

}  // namespace

bool split_line(std::string_view line, std::string& storage, std::vector<std::string_view>& words) {
    words.clear();
    storage.clear();
    storage.reserve(line.size());  // words never grow by unquoting, so the views stay valid
    splitter rest(line, storage);
    for (rest.skip_blanks(); !rest.at_end(); rest.skip_blanks()) {
        const std::size_t start = storage.size();
        if (!rest.word()) return false;
        words.emplace_back(storage.data() + start, storage.size() - start);
    }
    return true;
}

}  // namespace kv
