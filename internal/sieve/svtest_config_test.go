package sieve

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// applyConfig reads the suite's settings into limits and settings of ours.
func (h *harness) applyConfig() {
	number := func(key string, to *int) {
		if n, err := strconv.Atoi(h.config[key]); err == nil {
			*to = n
		}
	}
	lim := DefaultLimits()
	number("sieve_variables_max_variable_size", &lim.VariableBytes)
	number("sieve_editheader_max_header_size", &lim.HeaderBytes)
	number("sieve_include_max_includes", &lim.Includes)
	number("sieve_include_max_nesting_depth", &lim.IncludeDepth)
	number("sieve_notify_max_notifications", &lim.Notifications)
	h.env.Limits = lim
	s := &h.env.Settings
	s.RecipientDelimiter = h.config["recipient_delimiter"]
	s.RedirectFrom = rule(h.config["sieve_redirect_envelope_from"])
	s.Notify.EnvelopeFrom = rule(h.config["sieve_notify_mailto_envelope_from"])
	s.NoAdd, s.NoDelete = map[string]bool{}, map[string]bool{}
	for _, name := range strings.Fields(h.config["sieve_editheader_header"]) {
		key := "sieve_editheader_header/" + name
		s.NoAdd[strings.ToLower(name)] = h.config[key+"/forbid_add"] == "yes"
		s.NoDelete[strings.ToLower(name)] = h.config[key+"/forbid_delete"] == "yes"
	}
	h.env.User.Email = h.config["sieve_user_email"]
	v := &s.Vacation
	v.MinPeriod, _ = time.ParseDuration(h.config["sieve_vacation_min_period"])
	v.DefaultSubject = h.config["sieve_vacation_default_subject"]
	v.SubjectTemplate = h.config["sieve_vacation_default_subject_template"]
	v.AnyRecipient = h.config["sieve_vacation_check_recipient"] == "no"
	v.OriginalRecipient = h.config["sieve_vacation_use_original_recipient"] == "yes"
	v.SendFromRecipient = h.config["sieve_vacation_send_from_recipient"] == "yes"
	v.IgnoreSender = h.config["sieve_vacation_to_header_ignore_envelope"] == "yes"
	h.env.Items = map[string]string{}
	for k, value := range h.config {
		if name, ok := strings.CutPrefix(k, "sieve_environment/"); ok {
			h.env.Items["vnd.dovecot.config."+name] = value
		}
	}
}

func rule(s string) SenderRule {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "<") {
		return SenderRule{Kind: "explicit", Address: strings.Trim(s, "<>")}
	}
	return SenderRule{Kind: s}
}

// status returns what the setting of that name finds in the message.
func (h *harness) status(key string) (string, bool) {
	name, expr, hasExpr := strings.Cut(h.config[key], ":")
	vs := h.m.msg.Header(name)
	if name == "" || len(vs) == 0 {
		return "", false
	}
	if !hasExpr {
		return vs[0], true
	}
	re, err := regexp.Compile(strings.TrimSpace(expr))
	if err != nil {
		return "", false
	}
	found := re.FindStringSubmatch(vs[0])
	if found == nil {
		return "", false
	}
	return found[len(found)-1], true
}

func (h *harness) spam(context.Context) Score {
	value, ok := h.status("sieve_spamtest_status_header")
	if !ok {
		return Score{}
	}
	limit, ok := h.status("sieve_spamtest_score_max_header")
	if !ok {
		limit = h.config["sieve_spamtest_score_max_value"]
	}
	most, _ := strconv.ParseFloat(limit, 64)
	switch h.config["sieve_spamtest_status_type"] {
	case "strlen":
		return Score{Known: true, Share: float64(len(value)) / most}
	case "text":
		for i := range 11 {
			if h.config["sieve_spamtest_text_value/"+strconv.Itoa(i)] == value {
				return Score{Known: true, Share: float64(i-1) / 9}
			}
		}
		return Score{}
	}
	n, err := strconv.ParseFloat(value, 64)
	return Score{Known: err == nil, Share: n / most}
}

func (h *harness) virus(context.Context) int {
	value, ok := h.status("sieve_virustest_status_header")
	if !ok {
		return 0
	}
	for i := range 6 {
		if h.config["sieve_virustest_text_value/"+strconv.Itoa(i)] == value {
			return i
		}
	}
	return 0
}
