// Linked with one file for each public header; that it links is the test.
int main() {
    return 0;
}
