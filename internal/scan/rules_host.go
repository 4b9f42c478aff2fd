package scan

import (
	"slices"
	"strings"
)

// script returns what a web server's fields say of the program that made the
// message: name with path where there is one, "" for none.
func (f *facts) script() string {
	for _, name := range []string{"X-PHP-Script", "X-PHP-Originating-Script", "X-Source-Args", "X-Source"} {
		if v, ok := f.Raw.First(name); ok && v != "" {
			return v
		}
	}
	return ""
}

func phpEval(f *facts) outcome {
	v, _ := f.Raw.First("X-PHP-Originating-Script")
	return when(strings.Contains(v, "eval()'d") || strings.Contains(v, "runtime-created function"))
}

// phpHidden: a script in a directory whose name begins with a dot.
func phpHidden(f *facts) outcome {
	for _, name := range []string{"X-PHP-Script", "X-Source-Args", "X-Source", "X-Source-Dir", "X-PHP-Originating-Script"} {
		v, ok := f.Raw.First(name)
		if !ok {
			continue
		}
		for i := 0; i+2 < len(v); i++ {
			if v[i] == '/' && v[i+1] == '.' && v[i+2] != '.' && v[i+2] != '/' && !strings.HasPrefix(v[i+2:], "well-known/acme") {
				return yes(v)
			}
		}
	}
	return outcome{}
}

// phpRoot: a script that runs as the superuser.
func phpRoot(f *facts) outcome {
	v, _ := f.Raw.First("X-PHP-Originating-Script")
	return when(strings.HasPrefix(v, "0:"))
}

// phpFake: PHP writes the number of the user, a colon and the script's name.
func phpFake(f *facts) outcome {
	v, ok := f.Raw.First("X-PHP-Originating-Script")
	if !ok {
		return outcome{}
	}
	uid, name, cut := strings.Cut(v, ":")
	if cut && allOf(uid, isNumeral) && name != "" && !strings.ContainsAny(name, "/@") {
		return outcome{}
	}
	return yes(v)
}

// shells are scripts that are put on a web server to send spam.
var shells = []string{"leafmailer", "leaf.php", "xman.php", "alexus", "alexusmailer", "wso.php", "priv8", "inbox.php", "envia.php", "enviar.php",
	"mass.php", "massmailer", "bulkmailer", "xleet", "owl.php", "mailer3", "ym.php", "unx.php", "gsender"}

func phpShell(f *facts) outcome {
	v := strings.ToLower(f.script())
	if v == "" || !slices.ContainsFunc(shells, func(s string) bool { return strings.Contains(v, s) }) {
		return outcome{}
	}
	return yes(v)
}

// phpOdd: a script where only parts of a program or pictures lie.
func phpOdd(f *facts) outcome {
	for _, name := range []string{"X-PHP-Script", "X-Source-Args", "X-Source-Dir"} {
		v, ok := f.Raw.First(name)
		if !ok {
			continue
		}
		for _, dir := range []string{"/wp-content/uploads/", "/wp-includes/", "/wp-content/plugins/", "/wp-content/themes/", "/images/", "/img/", "/css/", "/js/", "/tmp/", "/cache/", "/uploads/"} {
			if strings.Contains(v, dir) {
				return yes(v)
			}
		}
	}
	return outcome{}
}

// phpScript: honest web sites send so too.
func phpScript(f *facts) outcome {
	return when(f.has("X-PHP-Script") || f.has("X-PHP-Originating-Script"))
}
