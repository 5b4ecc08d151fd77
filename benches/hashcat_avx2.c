/* Makes PoCL compile for a processor without AVX-512, for benches/hashcat.sh: LLVM is told another name of the processor
 * than its own, and that the features are not there. Loaded before LLVM's own functions of these names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FEATURES "_ZN4llvm3sys18getHostCPUFeaturesERNS_9StringMapIbNS_15MallocAllocatorEEE"

/* llvm::StringRef */
struct text {
    const char *start;
    size_t len;
};

/* llvm::StringMap<bool>: a table of pointers to entries, some of them null or a mark for what was removed. */
struct entry {
    size_t len;
    bool value;
    char name[] __attribute__((aligned(8)));
};

struct map {
    struct entry **table;
    unsigned buckets, items, removed, entry_size;
};

/* AVX2, FMA, BMI2 and the SHA extensions: what the machine of the gates had. */
struct text _ZN4llvm3sys14getHostCPUNameEv(void)
{
    return (struct text){"znver3", 6};
}

bool _ZN4llvm3sys18getHostCPUFeaturesERNS_9StringMapIbNS_15MallocAllocatorEEE(struct map *map)
{
    bool (*own)(struct map *) = dlsym(dlopen("libLLVM-15.so.1", RTLD_NOW | RTLD_NOLOAD), FEATURES);
    bool known = own(map);
    for (unsigned i = 0; i < map->buckets; i++) {
        struct entry *entry = map->table[i];
        if (entry != NULL && (uintptr_t)entry < (uintptr_t)-64 && strncmp(entry->name, "avx512", 6) == 0)
            entry->value = false;
    }
    return known;
}
